"""A job request → the recipes and the dataset version that it means.

Names become values here: aliases, presets, ``default``, a view. What leaves this file is what
identity is made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cache import networks
from cache.dataset import Manifest, View
from cache.errors import InvalidRequest, NotFound
from cache.identity import sha256_file
from cache.networks import NetworkInfo, WeightsInfo
from cache.recipe import Numerics, Recipe, Tap, Transform, pack_id
from cache.rows import DatasetRow, WeightsRow
from cache.store import Store
from service.caller import Caller
from service.schemas import JobRequest, TapRequest, TransformRequest
from service.state import State
from service.views import KeptView


@dataclass(frozen=True)
class Wanted:
    """What a request asks for: one recipe per tap, on one dataset version or view of it.

    ``space`` is where the packs will lie: the dataset's, or a team's own.
    """

    recipes: list[Recipe]
    row: DatasetRow
    view: View
    space: str
    images: KeptView

    @property
    def dataset(self) -> dict[str, Any]:
        """What the pack says of its dataset, and in its file of who may see it."""
        view = None if self.view.is_whole else self.view.as_dict()
        about = {"name": self.row.name, "version": self.row.version, "view": view}
        return about | ({"space": self.space} if self.space else {})

    def pack_id(self, recipe: Recipe) -> str:
        return pack_id(recipe.recipe_id, self.images.dataset_id)

    def manifest(self, store: Store) -> Manifest:
        """The images: at hand for a view that was drawn just now, else read."""
        return self.images.manifest or store.load_manifest(self.images.dataset_id)


def resolve(state: State, caller: Caller, request: JobRequest) -> Wanted:
    """Raises NotFound, InvalidRequest: an unknown name, or values that do not fit together."""
    info = networks.get(request.network)
    weights, preset = resolve_weights(state, info, request.weights)
    transform = resolve_transform(info, preset, request.transform)
    numerics = Numerics(request.numerics.compute, request.numerics.stored)
    if request.tap is not None and request.taps is not None:
        raise InvalidRequest(
            "tap and taps are both given", value="taps", remedy="give one of the two"
        )
    wanted = request.taps or [request.tap or TapRequest()]
    taps = list(dict.fromkeys(resolve_tap(info, tap) for tap in wanted))
    _check_available(state, info, weights, taps)
    row = state.catalogue.find_dataset(request.dataset, caller.sight)
    space = row.space or caller.owner(private=request.private).space
    view = View(**request.view.model_dump())
    return Wanted(
        recipes=[Recipe(info.name, weights, tap, transform, numerics) for tap in taps],
        row=row,
        view=view,
        space=space,
        images=state.views.resolve(row, view, space),
    )


def resolve_classifier(state: State, network: str, weights: str) -> Recipe:
    """The whole network as a recipe: official transform, tapped at its class scores.

    Raises:
        NotFound: no such network or weights.
        InvalidRequest: weights that are known to have no classifier for ImageNet.
    """
    info = networks.get(network)
    identity, published = resolve_weights(state, info, weights)
    if published.acc1 is None:
        raise _no_classifier(info, weights, "they end before the classifier")
    layer = info.output_layer
    uploaded = _uploaded(state, info, identity)
    if uploaded and (missing := uploaded.unavailable.get(layer)):
        raise _no_classifier(info, weights, f"{missing} is missing, of another shape or not finite")
    return Recipe(info.name, identity, Tap(layer), networks.official_transform(info, published))


def _no_classifier(info: NetworkInfo, weights: str, why: str) -> InvalidRequest:
    return InvalidRequest(
        f"the weights {weights!r} of {info.name} cannot tell ImageNet's 1,000 classes: {why}",
        value=weights,
        remedy="use weights with the classifier, such as default; to classify into classes of "
        "your own, train a head and POST images to /v1/heads/{id}/predict",
    )


def resolve_weights(state: State, info: NetworkInfo, name: str) -> tuple[str, WeightsInfo]:
    """The weights' identity, and the published weights whose preset goes with them."""
    if name.startswith("random:"):
        seed = name.removeprefix("random:")
        if not seed.isdecimal() or int(seed) >= 2**63:
            raise InvalidRequest(
                f"weights are {name!r}", value=name, remedy="use random:<seed>, a whole number"
            )
        return f"random:{int(seed)}", info.default_weights
    if name.startswith("sha256:"):
        sha256 = name.removeprefix("sha256:").lower()
        return f"sha256:{state.catalogue.find_weights(sha256, info.name).sha256}", (
            info.default_weights
        )
    if name.endswith((".pth", ".pt", ".safetensors")):
        return _from_directory(state, info, name)
    found = info.weights_named(name)
    return found.identity, found


def _from_directory(state: State, info: NetworkInfo, name: str) -> tuple[str, WeightsInfo]:
    """A file of the operator's, by its name: torchvision's own, or any other by its hash."""
    for weights in info.weights:
        if weights.file == name:
            return weights.identity, weights
    directory = state.settings.weights_dir
    path = directory / name if directory else None
    if path is None or path.name != name or not path.is_file():
        raise NotFound(
            f"no file {name!r} in the weights directory",
            value=name,
            remedy="put it into FEATUREPACK_WEIGHTS_DIR, or upload it with POST /v1/weights",
        )
    return f"sha256:{sha256_file(path)}", info.default_weights


def resolve_transform(
    info: NetworkInfo, weights: WeightsInfo, request: TransformRequest
) -> Transform:
    """A preset's values, with the request's in their place. Raises InvalidRequest."""
    presets = {"official": networks.official_transform, "stretch": networks.stretch_transform}
    preset = presets[request.preset](info, weights)
    values = {name: getattr(preset, name) for name in Transform.__dataclass_fields__}
    given = request.model_dump(exclude={"preset"}, exclude_none=True)
    if isinstance(given.get("size"), int):
        stretched = (given.get("resize") or preset.resize) == "stretch"
        given["size"] = [given["size"]] * (2 if stretched else 1)
    if given.get("resize") == "stretch" and "crop" not in given:
        values["crop"] = None
        if "size" not in given:
            values["size"] = preset.output_HW
    transform = Transform(**(values | given))
    info.check_input(weights, transform.output_HW)
    return transform


def resolve_tap(info: NetworkInfo, request: TapRequest) -> Tap:
    """Raises NotFound (no such layer), InvalidRequest (a pool that does not fit it)."""
    if request.layer is None:
        tap = Tap(info.default_tap.layer, request.pool or info.default_tap.pool)
    else:
        tap = Tap(info.resolve_layer(request.layer), request.pool or "none")
    info.feature_shape(tap.layer, tap.pool)
    return tap


def _check_available(state: State, info: NetworkInfo, weights: str, taps: list[Tap]) -> None:
    """An uploaded checkpoint may lack layers; say so now and not after the job has waited."""
    row = _uploaded(state, info, weights)
    for tap in taps:
        if row and (missing := row.unavailable.get(tap.layer)):
            usable = [layer for layer in info.layers if layer not in row.unavailable]
            raise InvalidRequest(
                f"the checkpoint {row.name!r} lacks {missing!r}, or has values in it that are not "
                f"finite, and layer {tap.layer!r} needs it",
                value=tap.layer,
                remedy=f"tap a layer up to {usable[-1]!r}, or upload a complete checkpoint"
                if usable
                else "upload a complete checkpoint",
            )


def _uploaded(state: State, info: NetworkInfo, weights: str) -> WeightsRow | None:
    """What is known of an uploaded checkpoint; a file of the weights directory is the worker's."""
    if not weights.startswith("sha256:"):
        return None
    try:
        return state.catalogue.find_weights(weights.removeprefix("sha256:"), info.name)
    except NotFound:
        return None
