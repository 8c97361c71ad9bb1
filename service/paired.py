"""Two heads on the same validation images, compared image by image.

Whether a head is right is kept with it as bits, and a hash of which rows they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

from cache.rows import HeadRow

Z = 1.959964
"""Two-sided 95 % of the normal distribution."""


@dataclass(frozen=True)
class Paired:
    """Images that the one gets right and the other wrong, the reverse, and all."""

    gained: int
    lost: int
    images: int

    @property
    def difference(self) -> float:
        """The one's accuracy less the other's."""
        return (self.gained - self.lost) / self.images

    @property
    def error(self) -> float:
        """The standard error of the difference, for other images of the same kind."""
        changed = (self.gained + self.lost) / self.images
        return sqrt(max(0.0, changed - self.difference**2) / self.images)

    @property
    def p_value(self) -> float:
        """McNemar's test (1947), exact: how often a coin decides those that differ so clearly."""
        tosses, fewer = self.gained + self.lost, min(self.gained, self.lost)
        term = total = 1
        for k in range(1, fewer + 1):
            term = term * (tosses - k + 1) // k
            total += term
        return min(1.0, 2 * total / (1 << tosses))


def paired(one: HeadRow, other: HeadRow) -> Paired | None:
    """None where the two were not scored on the same images."""
    mine, theirs = _right(one), _right(other)
    same = mine and theirs and mine["rows"] == theirs["rows"]
    if not mine or not theirs or not same or _dataset(one) != _dataset(other):
        return None
    a, b = int(mine["bits"], 16), int(theirs["bits"], 16)
    images = one.metrics["validation_rows"]
    return Paired((a & ~b).bit_count(), (b & ~a).bit_count(), images)


def _right(head: HeadRow) -> dict[str, Any] | None:
    """None of heads that were trained before it was kept."""
    found: dict[str, Any] | None = head.metrics.get("validation_right")
    return found


def _dataset(head: HeadRow) -> str:
    return head.pack_id.partition("-")[2]
