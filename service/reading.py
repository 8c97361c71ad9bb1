"""Bytes of a pack's file, piece by piece, as they are sent.

Every piece is read when it is asked for, in whatever thread asks, and nothing is read that is not
sent. What lies together is read by one call, which holds no lock of the interpreter meanwhile.
Many small rows share a page of the file, so they are taken from a memory map; it lives as long as
the piece, or the process would seem to grow to the size of the pack.
Shapes: M selected rows, P rows of a piece.
"""

from __future__ import annotations

import errno
import math
import mmap
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData
from cache.places import Place

PIECE_BYTES = 2 << 20
SMALL_ROW_BYTES = 2048
READS_AT_ONCE = 256
"""Of an answer that is made on the event loop: each takes a microsecond or two."""

NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)

Buffer = bytes | memoryview
Rows = range | npt.NDArray[np.int64]


@dataclass(frozen=True)
class OpenFile:
    """A file, read by offset. Without ``wait`` only what is in memory already is read."""

    handle: int
    wait: bool = True

    def read(self, length: int, offset: int) -> memoryview:
        """So many bytes. Raises as :meth:`fill`."""
        found = np.empty(length, np.uint8).data
        self.fill(found, [(0, length, offset)])
        return found

    def fill(self, target: memoryview, parts: Iterable[tuple[int, int, int]]) -> None:
        """Read into the target: from its byte ``first`` to before ``last`` what begins at
        ``offset`` in the file, for each (first, last, offset).

        Raises:
            BlockingIOError: without ``wait``: the disk would have to be waited for.
            CorruptData: the file ends before.
        """
        if not self.wait:
            self._fill_at_once(target, parts)
            return
        for first, last, offset in parts:
            while first < last:
                count = os.preadv(self.handle, [target[first:last]], offset)
                if not count:
                    raise CorruptData(
                        f"the file ends before byte {offset}",
                        value=offset,
                        remedy="verify the pack",
                    )
                first, offset = first + count, offset + count

    def _fill_at_once(self, target: memoryview, parts: Iterable[tuple[int, int, int]]) -> None:
        """RWF_NOWAIT of preadv2(2): fails where a read would wait, on some file systems always."""
        if NOWAIT is None:
            raise BlockingIOError
        try:
            for first, last, offset in parts:
                count = os.preadv(self.handle, [target[first:last]], offset, NOWAIT)
                if count < last - first:
                    raise BlockingIOError
        except OSError as error:
            if error.errno != errno.EOPNOTSUPP:
                raise
            raise BlockingIOError from error


def span(file: OpenFile, start: int, stop: int) -> Iterator[memoryview]:
    """The bytes of a file from ``start`` to before ``stop``. Raises as :meth:`OpenFile.fill`."""
    for first in range(start, stop, PIECE_BYTES):
        yield file.read(min(PIECE_BYTES, stop - first), first)


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

    def values(self, file: OpenFile) -> Iterator[Buffer]:
        """The rows' values, row after row."""
        if self._together is None:
            for block in self.blocks(file):
                yield block.data.cast("B")
        elif self.dtype == self.place.dtype:
            yield from span(file, *self._together)
        else:
            for piece in span(file, *self._together):
                yield self._converted(np.frombuffer(piece, self.place.dtype)).data.cast("B")

    def blocks(self, file: OpenFile) -> Iterator[npt.NDArray[Any]]:
        """The rows as arrays [P, ...row] of a piece's size, or of one row where that is larger."""
        for first, last in blocks_of(len(self.rows), self.place.row_bytes):
            part = self.rows[first:last]
            yield self._converted(_gathered(file, self.place, part))

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


def _gathered(file: OpenFile, place: Place, rows: Rows) -> npt.NDArray[Any]:
    """Rows [P, ...row] by number."""
    row_P = numbers(rows)
    if file.wait and place.row_bytes < SMALL_ROW_BYTES:
        return _taken(file.handle, place, row_P)
    first_R = np.append(0, np.flatnonzero(row_P[1:] != row_P[:-1] + 1) + 1)  # runs of neighbours
    if not file.wait and len(first_R) > READS_AT_ONCE:
        raise BlockingIOError
    found = np.empty((len(rows), *place.shape[1:]), place.dtype)
    ends = (np.append(first_R, len(rows)) * place.row_bytes).tolist()
    offsets = (place.offset + row_P[first_R] * place.row_bytes).tolist()
    file.fill(found.data.cast("B"), zip(ends, ends[1:], offsets, strict=False))
    return found


def _taken(handle: int, place: Place, row_P: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Rows by number, through a memory map that is gone when this returns."""
    mapped = mmap.mmap(handle, 0, prot=mmap.PROT_READ)
    values = np.frombuffer(mapped, place.dtype, math.prod(place.shape), place.offset)
    array: npt.NDArray[Any] = values.reshape(place.shape)
    return array.take(row_P, axis=0)


def numbers(rows: Rows) -> npt.NDArray[np.int64]:
    """Row numbers as an array [M]."""
    if isinstance(rows, range):
        return np.arange(rows.start, rows.stop, rows.step, dtype=np.int64)
    return rows
