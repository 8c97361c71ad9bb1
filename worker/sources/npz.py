"""The arrays of an uploaded npz file, read in blocks of rows.

An npz is a zip of npy files. Pickled (object) arrays are refused; declared sizes are held against
the budget before anything is read, and each block is read only as far as it is there.
"""

from __future__ import annotations

import math
import tokenize
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from cache.errors import InvalidRequest, TooLarge
from worker.sources.source import Budget, IngestLimits
from worker.sources.zip_file import open_zip, reading

BLOCK_BYTES = 8 << 20
_KINDS = "biufSU"
_MAX_ITEM_BYTES = 1 << 16
_MAX_HEADER_BYTES = 1 << 16
"""numpy reads as many as a header says, 4 GiB if need be, before it finds them too many."""


@dataclass(frozen=True)
class NpzArray:
    """One member: its shape and dtype are known, its values are still packed."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _archive: zipfile.ZipFile
    _member: zipfile.ZipInfo
    _fortran: bool
    _budget: Budget
    _limits: IngestLimits

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Consecutive runs of rows.

        Raises:
            CorruptData: the member is damaged or cut off.
            TooLarge: it is beyond the budget.
        """
        name = self._member.filename
        row_shape, row_bytes = self.shape[1:], math.prod(self.shape[1:]) * self.dtype.itemsize
        self._budget.spend(self.shape[0] * row_bytes, name)
        # Rows of a Fortran-ordered array are scattered over all of it.
        rows_at_once = max(1, self.shape[0] if self._fortran else BLOCK_BYTES // max(1, row_bytes))
        if min(rows_at_once, self.shape[0]) * row_bytes > self._limits.max_whole_bytes:
            raise TooLarge(
                f"the array {name!r} takes more than {self._limits.max_whole_bytes} bytes at once",
                value=name,
                remedy="save it in C order (numpy.ascontiguousarray), with smaller images",
            )
        with reading(name), self._archive.open(self._member) as stream:
            _header(stream)
            for start in range(0, self.shape[0], rows_at_once):
                rows = min(rows_at_once, self.shape[0] - start)
                data = _exactly(stream, rows * row_bytes)
                block = np.frombuffer(data, self.dtype, rows * math.prod(row_shape))
                yield block.reshape((rows, *row_shape), order="F" if self._fortran else "C")
            if stream.read(1):  # reading to the end also checks the checksum
                raise ValueError("there is more data than its header says")


def open_npz(path: Path, limits: IngestLimits, resources: ExitStack) -> dict[str, NpzArray]:
    """The arrays by name; the file stays open until ``resources`` is closed.

    Raises:
        CorruptData: damaged or cut off.
        InvalidRequest: a member that is no npy file, or an array of objects or records.
        TooLarge: too many members.
    """
    archive = resources.enter_context(open_zip(path, limits))
    budget = Budget(limits, path.stat().st_size)
    arrays = {}
    for member in archive.infolist():
        name = member.filename
        if not name.endswith(".npy"):
            raise InvalidRequest(
                f"the npz file has the member {name!r}, which is no array",
                value=name,
                remedy="write it with numpy.savez, or upload a zip of image files only",
            )
        with reading(name), archive.open(member) as stream:
            shape, fortran, dtype = _header(stream)
        if dtype.kind not in _KINDS or dtype.itemsize > _MAX_ITEM_BYTES or not shape:
            raise InvalidRequest(
                f"the array {name!r} is {dtype} {list(shape)}",
                value=name,
                remedy="save arrays of numbers or strings, no objects, records or single values",
            )
        arrays[name.removesuffix(".npy")] = NpzArray(
            shape, dtype, archive, member, fortran, budget, limits
        )
    return arrays


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, Fortran order, dtype. ValueError and EOFError where it is no npy header."""
    stream = _Bounded(file)
    try:
        version = npy.read_magic(stream)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
        if read is None:
            raise ValueError(f"npy version {version} is not read here")
        shape, fortran, dtype = read(stream)
    except (SyntaxError, TypeError, tokenize.TokenError, RecursionError, MemoryError) as error:
        raise ValueError(str(error)) from error
    if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize >= 1 << 62:
        raise ValueError("its header has an impossible shape")
    return shape, fortran, dtype


class _Bounded:
    """A stream that gives no more than a header may have."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left = _MAX_HEADER_BYTES

    def read(self, count: int = -1, /) -> bytes:
        if not 0 <= count <= self._left:
            raise ValueError("its header is too long")
        self._left -= count
        return self._stream.read(count)


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = stream.read(min(count - len(data), BLOCK_BYTES))
        if not piece:
            raise EOFError("the data ends early")
        data += piece
    return bytes(data)
