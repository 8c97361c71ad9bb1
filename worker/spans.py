"""Which rows of the packs of one pass are missing, and which of them are finished together."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Sequence

import numpy as np

from cache.pack_writer import Rows
from worker.building import Building

Span = tuple[int, int]


def missing_spans(packs: Sequence[Building]) -> deque[Span]:
    """The runs of rows that are finished together and that some pack lacks.

    A span is the largest shard of the plan's packs; shard sizes are powers of two, so every
    pack's shards fit into it.
    """
    size = max(pack.layout.shard_rows for pack in packs)
    rows = packs[0].layout.rows
    lacking = ~np.logical_and.reduce([pack.written_N() for pack in packs])
    starts = range(0, rows, size)
    return deque(
        (start, min(rows, start + size)) for start in starts if lacking[start:][:size].any()
    )


class Missing:
    """The rows [R], ascending, that are yet to come; they may come in any order."""

    def __init__(self, row_R: Rows) -> None:
        self._row_R = row_R
        self._here_R = np.zeros(len(row_R), bool)
        self._first = 0

    @property
    def first(self) -> int:
        """The first row that is missing; beyond all rows when none is."""
        return int(self._row_R[self._first]) if self._first < len(self._row_R) else sys.maxsize

    def without(self, row_N: Rows) -> int:
        """These have come; the first that is missing now."""
        self._here_R[np.searchsorted(self._row_R, row_N)] = True
        while self._first < len(self._here_R) and self._here_R[self._first]:
            self._first += 1
        return self.first
