"""Bytes of a pack's file, piece by piece, as they are sent.

Every piece is read when it is asked for, in whatever thread asks, and nothing is read that is not
sent. What lies together is read by ``pread``, rows from here and there are taken from the pack's
memory map in one go: neither holds the interpreter's lock meanwhile.
Shapes: M selected rows, P rows of a piece.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData
from cache.places import MappedRows, Place

PIECE_BYTES = 2 << 20

Buffer = bytes | memoryview
Rows = range | npt.NDArray[np.int64]


def span(handle: int, start: int, stop: int) -> Iterator[bytes]:
    """The bytes of an open file from ``start`` to before ``stop``.

    Raises:
        CorruptData: the file ends before.
    """
    while start < stop:
        piece = os.pread(handle, min(PIECE_BYTES, stop - start), start)
        if not piece:
            raise _cut_off(start)
        yield piece
        start += len(piece)


@dataclass(frozen=True)
class StoredRows:
    """Some rows of an array in a file, to be sent as ``dtype``."""

    place: Place
    mapped: MappedRows
    rows: Rows
    dtype: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.place.shape[1:])

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def values(self, handle: int) -> Iterator[Buffer]:
        """The rows' values, row after row."""
        if not self._is_one_run:
            for block in self.blocks(handle):
                yield block.data.cast("B")
        elif self.dtype == self.place.dtype:
            yield from span(handle, *self._run_of(self.rows))
        else:
            for piece in span(handle, *self._run_of(self.rows)):
                yield self._converted(np.frombuffer(piece, self.place.dtype)).data.cast("B")

    def blocks(self, handle: int) -> Iterator[npt.NDArray[Any]]:
        """The rows as arrays [P, ...row] of a piece's size, or of one row where that is larger."""
        for first, last in blocks_of(len(self.rows), self.place.row_bytes):
            part = self.rows[first:last]
            if self._is_one_run:
                run = b"".join(span(handle, *self._run_of(part)))
                found = np.frombuffer(run, self.place.dtype).reshape(-1, *self.shape[1:])
            else:
                found = self.mapped.take(numbers(part))
            yield self._converted(found)

    @property
    def _is_one_run(self) -> bool:
        """Whether the rows lie together in the file, and in this order."""
        return isinstance(self.rows, range) and self.rows.step == 1

    def _run_of(self, rows: Rows) -> tuple[int, int]:
        """The bytes of such rows in the file."""
        start = self.place.offset + int(rows[0]) * self.place.row_bytes if len(rows) else 0
        return start, start + len(rows) * self.place.row_bytes

    def _converted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            return values.astype(self.dtype, copy=False)


def blocks_of(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Runs of rows whose bytes make a piece: the first row and the one after the last."""
    step = min(16384, max(1, PIECE_BYTES // max(1, row_bytes)))
    return ((first, min(rows, first + step)) for first in range(0, rows, step))


def _cut_off(offset: int) -> CorruptData:
    return CorruptData(
        f"the file ends before byte {offset}", value=offset, remedy="verify the pack"
    )


def numbers(rows: Rows) -> npt.NDArray[np.int64]:
    """Row numbers as an array [M]."""
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
    return rows
