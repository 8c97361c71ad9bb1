"""Where arrays lie in a file, so that they are read by offset and without HDF5."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

KEPT_ROWS = 512
"""After so many rows the pages that they lie in are let go of: 16 pages at most for each."""


@dataclass(frozen=True)
class Place:
    """A contiguous array in C order; ``offset`` counts bytes from the start of the file."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def map(self, path: Path) -> Any:
        """The array as a memory map; nothing is read ahead."""
        if 0 in self.shape:
            return np.empty(self.shape, self.dtype)
        return np.memmap(path, self.dtype, "r", self.offset, self.shape)


def places_of(file: h5py.File, names: Iterable[str]) -> dict[str, Place]:
    """Where the arrays of an open HDF5 file lie.

    Raises:
        KeyError: there is no such array.
        ValueError: it is not contiguous.
    """
    return {name: _place(name, file[name]) for name in names}


def _place(name: str, dataset: h5py.Dataset) -> Place:
    offset = dataset.id.get_offset()
    if offset is None and dataset.size:
        raise ValueError(f"{name} is not contiguous")
    return Place(dataset.dtype, tuple(dataset.shape), offset or 0)


class MappedRows:
    """Rows of a mapped array [N, ...row], taken by number.

    Pages that were read count as the process's memory until it lets go of them; they stay in the
    system's cache. To let go of them each time would make every row cost a page fault again. Safe
    to use from several threads.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array
        self._taken = 0

    def take(self, rows_P: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Rows [P, ...row] by number, copied without the interpreter's lock."""
        found: npt.NDArray[Any] = np.asarray(self._array).take(rows_P, axis=0)
        self._taken += len(rows_P)
        if self._taken > KEPT_ROWS and isinstance(self._array.base, mmap.mmap):
            self._taken = 0
            self._array.base.madvise(mmap.MADV_DONTNEED)
        return found
