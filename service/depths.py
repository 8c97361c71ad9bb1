"""Which layers of a network to compare, from early to late."""

from __future__ import annotations

from typing import Final

from cache.networks import NetworkInfo

DEPTHS: Final = (0.2, 0.4, 0.6, 0.8)
"""Places of the earlier layers, as shares of the layers that can be pooled: early, two middle
ones, late. The bottleneck comes after them."""
BLOCKS: Final = 12
"""With three times as many block ends as places there is one near each."""


def earlier_layers(info: NetworkInfo) -> list[str]:
    """Ends of blocks before the bottleneck, in order, whose rows can be averaged to one vector.

    A block is what the layers' names have in common: ``features.7``, ``layer2``,
    ``encoder.layers.encoder_layer_4``. Its end is where a network hands on; within it are parts
    of a sum or of a concatenation. Fewer than four where blocks are few, as in Swin, whose maps
    have their channels last.
    """
    nodes = list(info.layers)
    before = nodes[: nodes.index(info.default_tap.layer)]
    usable = [node for node in before if info.layout(node) in ("map", "tokens")]
    if not usable:
        return []
    ends = _block_ends(usable)
    targets = [usable.index(usable[int(depth * len(usable))]) for depth in DEPTHS]
    chosen = [min(ends, key=lambda end: abs(usable.index(end) - at)) for at in targets]
    return list(dict.fromkeys(chosen))


def _block_ends(nodes: list[str]) -> list[str]:
    """The last node of each block, blocks as large as leaves at least ``BLOCKS`` of them."""
    ends: dict[str, str] = {}
    for parts in range(1, 1 + max(node.count(".") + 1 for node in nodes)):
        ends = {".".join(node.split(".")[:parts]): node for node in nodes}
        if len(ends) >= BLOCKS:
            break
    return list(ends.values())
