"""Every classification network of torchvision, as data.

The numbers lie in ``networks.json``, which ``python -m worker.network_catalogue`` writes from
torchvision and which a test compares with torchvision, so that the service answers questions
about networks, layers and weights without torch. They hold for ``eval()``, auxiliary heads off.

``inception_v3`` and ``googlenet`` are kept as torchvision builds them for its own checkpoints,
with ``transform_input=True``: they take images normalised as all the others (ImageNet mean and
standard deviation) and change them to their own range in the first nodes of their graph.

Shapes are those of one row, so without the batch dimension: a map is ``[C, H, W]``, a token
sequence ``[T, C]``, a vector ``[D]``.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from cache.errors import InvalidRequest, NotFound
from cache.recipe import Pool, Tap, Transform

CATALOGUE = Path(__file__).with_name("networks.json")

ALIASES = MappingProxyType({"vgg": "vgg16", "inception": "inception_v3", "resnet": "resnet50"})
"""The short names that the labs' scripts used."""

_ONE_SIZE = ("vit_", "maxvit")

Shape = tuple[int, ...]
Layout = Literal["vector", "tokens", "map", "channels-last map", "other"]


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """One published checkpoint of a network.

    ``hash_prefix`` is the head of the file's SHA-256, ``acc1`` the published ImageNet accuracy in
    percent (None where there is no classifier), ``transform`` the official preset, and
    ``min_size`` the smallest input. Vision transformers and MaxViT take exactly that size.
    """

    name: str
    url: str
    file: str
    hash_prefix: str
    acc1: float | None
    min_size: tuple[int, int]
    transform: Transform

    @property
    def identity(self) -> str:
        """What a recipe calls these weights."""
        return f"torchvision:{self.file}"


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """One network.

    ``input_size`` is the height and width that the default weights' preset gives, ``parameters``
    counts the whole network with its classifier, ``flops`` the arithmetic of one image through
    all of it, a multiply-add as two. ``layers`` maps every node that can be tapped, in order of
    execution, to the shape of its row at ``input_size``.
    """

    name: str
    input_size: tuple[int, int]
    parameters: int
    flops: int
    weights: tuple[WeightsInfo, ...]
    default_tap: Tap
    layers: Mapping[str, Shape] = field(hash=False)

    @property
    def default_weights(self) -> WeightsInfo:
        """The first that torchvision lists: ``IMAGENET1K_V1`` where that exists."""
        return self.weights[0]

    @property
    def output_layer(self) -> str:
        """The last layer: the scores of the 1,000 ImageNet classes, before softmax."""
        return list(self.layers)[-1]

    @property
    def default_shape(self) -> Shape:
        """The row that the default tap gives: ``(D,)``."""
        return self.feature_shape(self.default_tap.layer, self.default_tap.pool)

    def weights_named(self, name: str) -> WeightsInfo:
        """Weights by torchvision's name, in any case; ``default`` is the first.

        Raises:
            NotFound: the network has no such weights.
        """
        if name.lower() == "default":
            return self.default_weights
        for weights in self.weights:
            if weights.name.lower() == name.lower():
                return weights
        known = ", ".join(weights.name for weights in self.weights)
        raise NotFound(
            f"{self.name} has no weights named {name!r}",
            value=name,
            remedy=f"use default or one of: {known}",
        )

    def resolve_layer(self, layer: str) -> str:
        """The node that a name means: itself, or the last that can be tapped in that module.

        Raises:
            NotFound: no node or module of the network has this name.
        """
        if layer in self.layers:
            return layer
        inside = [node for node in self.layers if node.startswith(f"{layer}.")]
        if inside:
            return inside[-1]
        close = get_close_matches(layer, [*_with_modules(self.layers)], n=5)
        remedy = f"did you mean {', '.join(close)}? " if close else ""
        raise NotFound(
            f"{self.name} has no layer {layer!r}",
            value=layer,
            remedy=f"{remedy}GET /v1/networks/{self.name} lists all layers",
        )

    def check_input(self, weights: WeightsInfo, height_width: tuple[int, int]) -> None:
        """Whether the network takes images of this size.

        Raises:
            InvalidRequest: smaller than it can take, or another than the only one it can.
        """
        only = self.name.startswith(_ONE_SIZE) and height_width != weights.min_size
        small = any(
            side < least for side, least in zip(height_width, weights.min_size, strict=True)
        )
        if only or small:
            needs = "exactly" if self.name.startswith(_ONE_SIZE) else "at least"
            raise InvalidRequest(
                f"{self.name} takes images of {needs} {list(weights.min_size)}, "
                f"not {list(height_width)}",
                value=list(height_width),
                remedy="leave out size and crop, or give ones that fit",
            )

    def layout(self, layer: str) -> Layout:
        """How a row's dimensions are to be read.

        Every preset is square, so a map shows two equal sides, and their place tells whether its
        channels come first or, inside Swin and ConvNeXt, last. Tokens are as wide as the
        network's own features; ViT's ``reshape``, which is ``[C, T]``, is not taken for tokens.

        Raises:
            NotFound: the network has no such layer.
        """
        shape = self.layers[self.resolve_layer(layer)]
        if len(shape) == 1:
            return "vector"
        if len(shape) == 2 and shape[1] == self._width:
            return "tokens"
        if len(shape) == 3 and shape[1] == shape[2]:
            return "map"
        if len(shape) == 3 and shape[0] == shape[1]:
            return "channels-last map"
        return "other"

    def feature_shape(self, layer: str, pool: Pool) -> Shape:
        """Shape of one feature row at ``input_size``, by the rules of :class:`cache.recipe.Tap`.

        ``avg`` and ``max`` reduce ``[C, H, W]`` over H and W and ``[T, C]`` over T, both to
        ``(C,)``; ``flatten`` gives ``(D,)``; ``none`` keeps the layer's shape.

        Raises:
            NotFound: the network has no such layer.
            InvalidRequest: an unknown pool, or ``avg``/``max`` on a layer that is neither a map
                with channels first nor tokens, where they would reduce the wrong dimensions.
        """
        node = Tap(self.resolve_layer(layer), pool).layer
        shape, layout = self.layers[node], self.layout(node)
        if pool == "none":
            return shape
        if pool == "flatten":
            return (prod(shape),)
        if layout == "map":
            return shape[:1]
        if layout == "tokens":
            return shape[1:]
        if layout == "vector":
            remedy = "use pool none: the row is one vector already"
        else:
            maps = [name for name in self.layers if self.layout(name) in ("map", "tokens")]
            remedy = f"use pool none or flatten, or a layer such as {maps[-1]!r}"
        raise InvalidRequest(
            f"pool {pool!r} does not fit {self.name}'s layer {node!r}, {layout} {list(shape)}",
            value={"layer": layer, "pool": pool},
            remedy=remedy,
        )

    def known_shape(self, layer: str, pool: Pool, input_HW: tuple[int, int]) -> Shape | None:
        """:meth:`feature_shape` for another input, None where only a run of the network tells.

        What is one vector behind the networks' own pooling stays one, and ``avg`` and ``max``
        leave the channels: no size of the input shows in either.
        """
        shape = self.feature_shape(layer, pool)
        free = pool in ("avg", "max") or self.layout(layer) == "vector"
        return shape if free or input_HW == self.input_size else None

    @property
    def _width(self) -> int:
        """Channels of the bottleneck, whether it is pooled or not: the first of C, H, W or D."""
        return self.layers[self.default_tap.layer][0]


def names() -> tuple[str, ...]:
    """All networks, sorted."""
    return tuple(_catalogue())


def get(name: str) -> NetworkInfo:
    """A network by its name or alias, in any case.

    Raises:
        NotFound: torchvision has no such network.
    """
    wanted = name.strip().lower()
    wanted = ALIASES.get(wanted, wanted)
    if wanted in _catalogue():
        return _network(wanted)
    close = get_close_matches(wanted, [*names(), *ALIASES], n=5)
    remedy = f"did you mean {', '.join(close)}? " if close else ""
    raise NotFound(
        f"no network is called {name!r}",
        value=name,
        remedy=f"{remedy}GET /v1/networks lists all networks",
    )


def official_transform(info: NetworkInfo, weights: WeightsInfo | None = None) -> Transform:
    """The preset ``official``: what torchvision publishes for these (or the default) weights."""
    return (weights or info.default_weights).transform


def stretch_transform(info: NetworkInfo, weights: WeightsInfo | None = None) -> Transform:
    """The preset ``stretch``: straight to the input size, as the labs did with small images."""
    official = official_transform(info, weights)
    return Transform(
        resize="stretch",
        size=official.output_HW,
        crop=None,
        interpolation="bilinear",
        antialias=True,
        resample="float32",
        mean=official.mean,
        std=official.std,
        channels=official.channels,
    )


@functools.cache
def _catalogue() -> dict[str, dict[str, Any]]:
    networks: dict[str, dict[str, Any]] = json.loads(CATALOGUE.read_bytes())["networks"]
    return networks


@functools.cache
def _network(name: str) -> NetworkInfo:
    fields = _catalogue()[name]
    weights = tuple(
        WeightsInfo(
            **{key: value for key, value in each.items() if key not in ("min_size", "transform")},
            min_size=tuple(each["min_size"]),
            transform=Transform(**each["transform"]),
        )
        for each in fields["weights"]
    )
    return NetworkInfo(
        name=name,
        input_size=(fields["input_size"][0], fields["input_size"][1]),
        parameters=fields["parameters"],
        flops=fields["flops"],
        weights=weights,
        default_tap=Tap(**fields["default_tap"]),
        layers={node: tuple(row) for node, row in fields["layers"].items()},
    )


def _with_modules(nodes: Iterable[str]) -> dict[str, None]:
    """The nodes and all modules that they lie in, each once."""
    found: dict[str, None] = {}
    for node in nodes:
        parts = node.split(".")
        found |= {".".join(parts[: depth + 1]): None for depth in range(len(parts))}
    return found
