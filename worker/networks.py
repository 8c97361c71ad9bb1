"""A network, cut at its taps and holding a checkpoint's numbers.

Every network is first built on the meta device, where it costs no memory, traced in ``eval()``
mode, and cut to what the taps need; only then do parameters get values, straight from the
checkpoint. A checkpoint may lack what lies behind the tap. It may not hold parameters that the
network does not have: then it belongs to another network, and features computed from the
parameters that happen to fit would be worthless. The last classifier alone may differ freely
(another number of classes, another structure), since fine-tuning replaces it.

Node names are those of ``torchvision.models.feature_extraction``. Tracing replaces
``nn.Module.__call__`` for the whole process, and random weights are drawn from torch's global
generator (whose state is put back). So one thread at a time builds or runs a network: call it
through :func:`run`.

Shapes: N images, C channels, H height, W width, T tokens, D features.
"""

from __future__ import annotations

import inspect
import math
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torchvision.models.feature_extraction import NodePathTracer

from cache.errors import InvalidRequest
from cache.networks import get
from cache.recipe import Pool
from worker.checkpoints import check_parameters, fault, some

AUXILIARY = {"googlenet": ("aux1.", "aux2."), "inception_v3": ("AuxLogits.",)}
"""Heads that help training: in the official checkpoints, switched off here."""

_ALONE = threading.RLock()

_FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
_LEAVES = [
    each
    for each in vars(torchvision.ops).values()
    if inspect.isclass(each) and issubclass(each, nn.Module)
]


class _ParametersOnMeta(TorchFunctionMode):
    """New parameters have a shape and no memory.

    Only the functions that parameters come from are redirected, not all of torch as by
    ``torch.device("meta")``: RegNet reads numbers out of small tensors while it is built, and
    what the code computes itself (Swin's and MaxViT's tables of relative positions) stays real.
    MaxViT needs that, as its table is drawn into the graph as a constant.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _FACTORIES and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Traced:
    """A network and its graph in ``eval()`` mode; ``nodes`` by name, in order of execution."""

    model: nn.Module
    graph: fx.Graph
    nodes: dict[str, fx.Node]

    def classifier(self) -> fx.Node:
        """The last layer that maps features to classes: a Linear, or a 1 x 1 convolution."""
        return next(
            node
            for node in reversed(self.nodes.values())
            if isinstance(self.module(node), nn.Linear | nn.Conv2d)
        )

    def head(self) -> str:
        """Prefix of the parameters of the part that ends in the classifier, such as ``fc.``."""
        return str(self.classifier().target).split(".")[0] + "."

    def module(self, node: fx.Node) -> nn.Module | None:
        """The module that a node calls, if it calls one."""
        return self.model.get_submodule(str(node.target)) if node.op == "call_module" else None

    def parameters_of(self, node: fx.Node) -> list[str]:
        """Names of the parameters and buffers, or of the constant, that a node itself reads."""
        if node.op == "get_attr":
            return [str(node.target)]
        module = self.module(node)
        return [f"{node.target}.{name}" for name in module.state_dict()] if module else []


def construct(network: str, *, seed: int | None = None, side: int | None = None) -> nn.Module:
    """A whole network in ``eval()`` mode.

    Without ``seed`` what a checkpoint must give lies on the meta device, while counters and tables
    that follow from the code are real. With it, torchvision's own initialisation draws all
    parameters, and the same seed gives the same numbers (on one kind of processor and one release
    of torch). ``side`` is the input's side where the parameters depend on it (ViT).
    """
    options: dict[str, Any] = {"image_size": side} if side and network.startswith("vit_") else {}
    if network in AUXILIARY:
        # transform_input is what torchvision's builders set for their own checkpoints.
        options |= {"aux_logits": False, "transform_input": True, "init_weights": seed is not None}
    if seed is None:
        with _ALONE, _ParametersOnMeta():
            model: nn.Module = torchvision.models.get_model(network, weights=None, **options)
        return model.eval()
    with _ALONE, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed CUDA
        drawn: nn.Module = torchvision.models.get_model(network, weights=None, **options)
    return drawn.eval()


def trace(model: nn.Module) -> Traced:
    """The graph of a network, with torchvision's names for its nodes."""
    tracer = NodePathTracer(autowrap_modules=(math, torchvision.ops), leaf_modules=_LEAVES)
    with _ALONE:
        graph = tracer.trace(model)
    inner = (node for node in graph.nodes if node.op not in ("placeholder", "output"))
    named = tracer.node_to_qualname
    return Traced(model, graph, {named[node]: node for node in inner if node in named})


def build(
    network: str, state: Mapping[str, Tensor] | None, seed: int | None, layers: Sequence[str]
) -> fx.GraphModule:
    """The frozen network, cut to what ``layers`` need.

    Its forward maps images_NCHW (float32) to a dict with one tensor per name in ``layers``, each
    a node or a module, whose last node is then meant. It is float32, in ``eval()`` mode, without
    gradients. Parameters that are float32 in ``state`` already are shared with it, not copied.

    Raises:
        NotFound: no such network, or no such layer.
        InvalidRequest: not exactly one of ``state`` and ``seed``; no layer; a checkpoint of
            another network; a parameter that the taps need is missing, of another shape or not
            finite.
    """
    if (state is None) == (seed is None) or not layers:
        raise InvalidRequest(
            "a network needs either a checkpoint or a seed, and at least one layer",
            value={"checkpoint": state is not None, "seed": seed, "layers": list(layers)},
            remedy="give one of state and seed, and the layers to tap",
        )
    info = get(network)
    taps = {layer: info.resolve_layer(layer) for layer in layers}
    traced = trace(construct(info.name, seed=seed, side=_side(info.input_size[0], state)))
    if state is not None:
        _check(traced, info.name, state)
    cut = cut_at(traced, taps)
    if state is not None:
        _assign(info.name, list(taps), cut, state)
    cut.eval().requires_grad_(False)
    return cut


def cut_at(traced: Traced, taps: Mapping[str, str]) -> fx.GraphModule:
    """The part of the network that computes ``taps`` (key in the output dict -> node's name).

    Several taps of one pass must not see each other: an activation that works in place would
    overwrite the tapped tensor before it, so then none may. ``traced``'s graph is used up.
    """
    output = next(node for node in traced.graph.nodes if node.op == "output")
    output.args = ({key: traced.nodes[name] for key, name in taps.items()},)
    whole = fx.GraphModule(traced.model, traced.graph, type(traced.model).__name__)
    traced.graph.eliminate_dead_code()
    if len(set(taps.values())) > 1:
        for node in traced.graph.nodes:
            if "inplace" in node.kwargs:
                node.kwargs = {**node.kwargs, "inplace": False}
        module: Any
        for module in traced.model.modules():
            if hasattr(module, "inplace"):
                module.inplace = False
    return fx.GraphModule(whole, traced.graph, type(traced.model).__name__)  # used modules only


def check_checkpoint(network: str, state: Mapping[str, Tensor]) -> None:
    """Whether a checkpoint, whole or in part, is one of this network.

    Raises:
        NotFound: no such network.
        InvalidRequest: it shares little with the network, has parameters that the network has
            not, or parameters of another shape or kind (outside the last classifier).
    """
    info = get(network)
    traced = trace(construct(info.name, side=_side(info.input_size[0], state)))
    _check(traced, info.name, state)


def unavailable_layers(network: str, state: Mapping[str, Tensor]) -> dict[str, str]:
    """The layers that a partial checkpoint cannot give, each with the first parameter it lacks.

    Raises:
        NotFound: no such network.
    """
    info = get(network)
    traced = trace(construct(info.name, side=_side(info.input_size[0], state)))
    needed = {name: like for name, like in traced.model.state_dict().items() if like.is_meta}
    faulty = {name for name, like in needed.items() if fault(name, like, state)}
    lacking: dict[fx.Node, tuple[int, str]] = {}
    for order, node in enumerate(traced.graph.nodes):
        first = [(order, name) for name in traced.parameters_of(node) if name in faulty][:1]
        first += [lacking[source] for source in node.all_input_nodes if source in lacking]
        if first:
            lacking[node] = min(first)
    blocked = {name: lacking[node] for name, node in traced.nodes.items() if node in lacking}
    return {layer: blocked[layer][1] for layer in info.layers if layer in blocked}


def alone() -> AbstractContextManager[object]:
    """While it lasts no other thread builds or calls a network. It may be entered again inside."""
    return _ALONE


@torch.inference_mode()
def run(network: nn.Module, images_NCHW: Tensor) -> dict[str, Tensor]:
    """Call a network that :func:`build` made, while no thread builds or calls another."""
    with _ALONE:
        outputs: dict[str, Tensor] = network(images_NCHW)
        return outputs


def pool(features: Tensor, pooling: Pool) -> Tensor:
    """Pooled features, float32, by the rules of :class:`cache.recipe.Tap`.

    ``avg`` and ``max`` take ``[N, C, H, W]`` or ``[N, T, C]`` to ``[N, C]``, ``flatten`` takes
    anything to ``[N, D]``, ``none`` keeps the shape.

    Raises:
        InvalidRequest: ``avg`` or ``max`` of another number of dimensions, or an unknown pool.
    """
    features = features.float()
    if pooling == "none":
        return features
    if pooling == "flatten":
        return features.flatten(1)
    axes = {4: (2, 3), 3: (1,)}.get(features.dim())
    if axes is None or pooling not in ("avg", "max"):
        raise InvalidRequest(
            f"pool {pooling!r} does not fit features of shape {list(features.shape)}",
            value=pooling,
            remedy="avg and max take [N, C, H, W] or [N, T, C]; use none or flatten",
        )
    return features.mean(axes) if pooling == "avg" else features.amax(axes)


def _side(default: int, state: Mapping[str, Tensor] | None) -> int:
    """The input side that a ViT's checkpoint was made for, read from its position embedding."""
    positions = (state or {}).get("encoder.pos_embedding")
    patches = (state or {}).get("conv_proj.weight")
    if positions is None or patches is None or positions.dim() != 3 or patches.dim() != 4:
        return default
    return math.isqrt(max(0, positions.shape[1] - 1)) * patches.shape[-1] or default


def _check(traced: Traced, network: str, state: Mapping[str, Tensor]) -> None:
    ignored = AUXILIARY.get(network, ())
    expected = traced.model.state_dict()
    check_parameters(network, expected, state, head=traced.head(), ignored=ignored)


def _assign(
    network: str, layers: Sequence[str], cut: fx.GraphModule, state: Mapping[str, Tensor]
) -> None:
    wanted = cut.state_dict()
    needed = {name: like for name, like in wanted.items() if like.is_meta}
    faults = [f"{name} {why}" for name, like in needed.items() if (why := fault(name, like, state))]
    if faults:
        raise InvalidRequest(
            f"this checkpoint cannot give {network}'s {', '.join(layers)}: {some(faults)}",
            value=layers,
            remedy="tap a layer before that parameter, or give a checkpoint that has it",
        )
    values = {}
    for name, like in wanted.items():
        given = state.get(name, like)  # real ones, such as counters of batches, may be missing
        values[name] = given.detach().to("cpu", like.dtype).contiguous()
    cut.load_state_dict(values, assign=True)
