"""Where arrays lie in a file, so that they are read by offset and without HDF5."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np


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
