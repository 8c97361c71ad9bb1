"""One measurement of one contender, and what contenders are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True)
class Turn:
    """What one turn gave.

    ``seconds`` go from loaded weights to features on the disk (of ours: the whole job),
    ``start_seconds`` from the start of the process to loaded weights. ``peak_bytes`` is the sum of
    the resident memory's peaks over the contender's processes. ``first_row_seconds`` is None where
    nobody is told.
    """

    images: int
    seconds: float
    start_seconds: float
    first_row_seconds: float | None
    peak_bytes: int
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def images_per_second(self) -> float:
        return self.images / self.seconds


class Contender(Protocol):
    """A started contender."""

    def turn(self) -> Turn: ...


Start = Callable[[], AbstractContextManager[Contender]]
"""Starts a contender; leaving the context ends its processes."""
