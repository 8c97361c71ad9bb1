"""``python -m worker.network_catalogue``: write ``cache/networks.json`` from torchvision.

Everything is read off torchvision itself: networks and weights from its registry, layers and
shapes by running the traced graph on the meta device, where a tensor has a shape and no values.
Two runs with one release of torchvision write the same bytes.

FLOPs are what torch's ``FlopCounterMode`` counts for one image (convolutions, matrix products and
attention; a multiply-add is two), in the whole network with its classifier.
"""

from __future__ import annotations

import json
import math
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.utils.flop_counter import FlopCounterMode

from cache.atomic import replacing
from cache.identity import canonical_json
from cache.networks import CATALOGUE
from worker.networks import Traced, construct, cut_at, trace

_BATCH = 1009
"""A prime above every width in these networks: a leading dimension of 1009 is the batch."""


def network_names() -> list[str]:
    """The classification networks of the installed torchvision, sorted."""
    return sorted(torchvision.models.list_models(module=torchvision.models))


def describe(network: str) -> dict[str, Any]:
    """One network's entry in the catalogue, as plain JSON values."""
    weights = [_describe_weights(each) for each in torchvision.models.get_model_weights(network)]
    height, width = weights[0]["transform"]["crop"]
    model = construct(network, side=height)
    traced = trace(model)
    tap = _before_classifier(traced)
    name_of = {node: name for name, node in traced.nodes.items()}
    layers = _layers(traced, height, width)
    row = layers[name_of[tap]]
    return {
        "input_size": [height, width],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops": _flops(model, height, width),
        "default_weights": weights[0]["name"],
        "default_tap": {"layer": name_of[tap], "pool": "none" if len(row) == 1 else "avg"},
        "default_shape": row[:1],
        "weights": weights,
        "layers": layers,
    }


def render(networks: dict[str, dict[str, Any]]) -> str:
    """The catalogue as JSON text, one network to a line so that a diff names the network."""
    release = ".".join(torchvision.__version__.split(".")[:2])
    lines = [
        f"{json.dumps(name)}:{json.dumps(networks[name], separators=(',', ':'), allow_nan=False)}"
        for name in sorted(networks)
    ]
    head = f'{{"source":"torchvision {release}",\n"flops":"a multiply-add counts two",\n'
    return head + '"networks":{\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    """Write the catalogue of the installed torchvision."""
    text = render({network: describe(network) for network in network_names()})
    canonical_json(json.loads(text))  # ASCII, no NaN: what identities can be made of
    with replacing(CATALOGUE) as beside:
        beside.write_text(text, encoding="ascii")


def _describe_weights(weights: Any) -> dict[str, Any]:
    preset = weights.transforms()
    file = weights.url.rpartition("/")[2]
    acc1 = weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    (resized,), (crop,) = preset.resize_size, preset.crop_size
    found = torch.hub.HASH_REGEX.search(file)
    assert found is not None, file
    return {
        "name": weights.name,
        "url": weights.url,
        "file": file,
        "hash_prefix": found.group(1),
        "acc1": None if math.isnan(acc1) else acc1,
        "min_size": list(weights.meta["min_size"]),
        "transform": {
            "resize": "shorter",
            "size": [resized],
            "crop": [crop, crop],
            "interpolation": preset.interpolation.value,
            "antialias": bool(preset.antialias),
            "resample": "uint8",
            "mean": list(preset.mean),
            "std": list(preset.std),
            "channels": "RGB",
        },
    }


def _before_classifier(traced: Traced) -> fx.Node:
    """The bottleneck: what the classifier reads, before any dropout, which is idle in eval()."""
    tap = traced.classifier().all_input_nodes[0]
    while isinstance(traced.module(tap), nn.Dropout):
        tap = tap.all_input_nodes[0]
    return tap


def _layers(traced: Traced, height: int, width: int) -> dict[str, list[int]]:
    """Shape of a row, per node whose output is a floating tensor computed from the images."""
    computed = _from_images(traced)
    run = cut_at(traced, {name: name for name in traced.nodes})
    with torch.no_grad():
        outputs = run.to("meta")(torch.empty(_BATCH, 3, height, width, device="meta"))
    return {
        name: list(output.shape[1:])
        for name, output in outputs.items()
        if isinstance(output, Tensor)
        and output.is_floating_point()
        and output.dim() > 1
        and output.shape[0] == _BATCH
        and traced.nodes[name] in computed
    }


def _from_images(traced: Traced) -> set[fx.Node]:
    """Nodes that read pixels, and not only the batch's size, as ViT's class token does."""
    found = {node for node in traced.graph.nodes if node.op == "placeholder"}
    for node in traced.graph.nodes:
        size = node.target in (getattr, "size", "dim")
        if not size and any(source in found for source in node.all_input_nodes):
            found.add(node)
    return found


def _flops(model: nn.Module, height: int, width: int) -> int:
    with FlopCounterMode(display=False) as counter:
        model.to("meta")(torch.empty(1, 3, height, width, device="meta"))
    return int(counter.get_total_flops())


if __name__ == "__main__":
    main()
