"""Depthwise convolutions, which do not bear bfloat16 (docs/decisions/0013)."""

from __future__ import annotations

from torch import nn


def has_depthwise(network: nn.Module) -> bool:
    """Whether some convolution takes each channel by itself."""
    return any(
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for module in network.modules()
    )
