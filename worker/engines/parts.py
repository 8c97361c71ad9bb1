"""Images of a batch, in parts of one shape each, cut to the size that an engine runs.

Shapes: n images of a part, H, W of the source, h, w of the network's input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Group(Protocol):
    """Images of one shape and their places in a batch.

    ``pixels`` is uint8 ``[n, H, W, 3]``, still to be resized, or the network's input, float32
    ``[n, 3, h, w]``.
    """

    @property
    def places_n(self) -> npt.NDArray[np.int64]: ...

    @property
    def pixels(self) -> Tensor: ...


Images = Tensor | Sequence[Group]


@dataclass(frozen=True)
class Part:
    """Images of one shape; places are int64. ``source``: they are still to be resized."""

    places_n: Tensor
    pixels: Tensor
    source: bool


@dataclass(frozen=True)
class Piece:
    """What is run at once: ``rows`` places, of which ``parts`` fill some."""

    rows: int
    parts: list[Part]


def pieces(images: Images, size: int) -> list[Piece]:
    """Pieces of at most ``size`` rows, at least one.

    Of groups there are as many rows as the highest place says; places that no group has are left
    empty.
    """
    if isinstance(images, Tensor):
        return [
            Piece(len(some), [Part(torch.arange(len(some)), some, source=False)])
            for some in torch.split(images, size)
        ]
    parts = [_part(group) for group in images]
    rows = max((int(part.places_n.max()) + 1 for part in parts if len(part.places_n)), default=0)
    return [
        Piece(min(size, rows - start), [cut for part in parts if (cut := _cut(part, start, size))])
        for start in range(0, max(rows, 1), size)
    ]


def _part(group: Group) -> Part:
    places_n = torch.from_numpy(np.asarray(group.places_n, np.int64))
    return Part(places_n, group.pixels, source=group.pixels.dtype == torch.uint8)


def _cut(part: Part, start: int, size: int) -> Part | None:
    """What of a part has its places from ``start`` on, counted from there; None if nothing."""
    inside_n = (part.places_n >= start) & (part.places_n < start + size)
    if inside_n.all():
        return Part(part.places_n - start, part.pixels, part.source) if len(inside_n) else None
    if not inside_n.any():
        return None
    return Part(part.places_n[inside_n] - start, part.pixels[inside_n], part.source)
