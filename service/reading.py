"""Bytes of a pack's file, piece by piece, as they are sent.

Every piece is read when it is asked for, in whatever thread asks, and nothing is read that is not
sent. What lies together is read by one ``pread``, which holds no lock of the interpreter meanwhile.
Many small rows share a page of the file, so they are taken from a memory map; it lives as long as
the piece, or the process would seem to grow to the size of the pack.
Shapes: M selected rows, P rows of a piece.
"""

from __future__ import annotations

import itertools
import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData
from cache.places import Place

PIECE_BYTES = 2 << 20
SMALL_ROW_BYTES = 2048

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
        if self._together is None:
            for block in self.blocks(handle):
                yield block.data.cast("B")
        elif self.dtype == self.place.dtype:
            yield from span(handle, *self._together)
        else:
            for piece in span(handle, *self._together):
                yield self._converted(np.frombuffer(piece, self.place.dtype)).data.cast("B")

    def blocks(self, handle: int) -> Iterator[npt.NDArray[Any]]:
        """The rows as arrays [P, ...row] of a piece's size, or of one row where that is larger."""
        for first, last in blocks_of(len(self.rows), self.place.row_bytes):
            part = self.rows[first:last]
            yield self._converted(_gathered(handle, self.place, part))

    @property
    def _together(self) -> tuple[int, int] | None:
        """The bytes from which to before which all rows lie in the file, if nothing else does."""
        if not isinstance(self.rows, range) or self.rows.step != 1:
            return None
        row_bytes, offset = self.place.row_bytes, self.place.offset
        return offset + self.rows.start * row_bytes, offset + self.rows.stop * row_bytes

    def _converted(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        with np.errstate(over="ignore"):
            return values.astype(self.dtype, copy=False)


def blocks_of(rows: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """Runs of rows whose bytes make a piece: the first row and the one after the last."""
    step = min(16384, max(1, PIECE_BYTES // max(1, row_bytes)))
    return ((first, min(rows, first + step)) for first in range(0, rows, step))


def _gathered(handle: int, place: Place, rows: Rows) -> npt.NDArray[Any]:
    """Rows [P, ...row] by number."""
    if place.row_bytes < SMALL_ROW_BYTES:
        return _taken(handle, place, numbers(rows))
    found = np.empty((len(rows), *place.shape[1:]), place.dtype)
    target = found.data.cast("B")
    for first, last in _runs(rows):
        part = target[first * place.row_bytes : last * place.row_bytes]
        offset = place.offset + int(rows[first]) * place.row_bytes
        if os.preadv(handle, [part], offset) < len(part):
            raise _cut_off(offset)
    return found


def _runs(rows: Rows) -> Iterator[tuple[int, int]]:
    """Runs of rows that follow each other in the file: their first place, and the next one's."""
    breaks = np.flatnonzero(np.diff(numbers(rows)) != 1) + 1
    return itertools.pairwise([0, *breaks.tolist(), len(rows)])


def _taken(handle: int, place: Place, rows_P: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Rows by number, through a memory map that is gone when this returns."""
    mapped = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
    values = np.frombuffer(mapped, place.dtype, math.prod(place.shape), place.offset)
    array: npt.NDArray[Any] = values.reshape(place.shape)
    return array.take(rows_P, axis=0)


def _cut_off(offset: int) -> CorruptData:
    return CorruptData(
        f"the file ends before byte {offset}", value=offset, remedy="verify the pack"
    )


def numbers(rows: Rows) -> npt.NDArray[np.int64]:
    """Row numbers as an array [M]."""
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
    return rows
