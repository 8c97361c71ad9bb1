"""The shape of a network's features for inputs of any size, without weights or arithmetic."""

from __future__ import annotations

import torch

from cache.networks import get
from cache.recipe import Tap
from worker.networks import construct, cut_at, pool, run, trace


def feature_shape(network: str, tap: Tap, input_HW: tuple[int, int]) -> tuple[int, ...]:
    """The shape of one image's features: the network runs on the meta device.

    Raises:
        NotFound: no such network or layer.
        RuntimeError: the network cannot take such an input.
    """
    info = get(network)
    traced = trace(construct(info.name, side=input_HW[0]))
    cut = cut_at(traced, {tap.layer: info.resolve_layer(tap.layer)}).to("meta")
    outputs = run(cut, torch.empty(1, 3, *input_HW, device="meta"))
    return tuple(pool(outputs[tap.layer], tap.pool).shape[1:])
