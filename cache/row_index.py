"""Which rows of a pack hold which images: an index inside the pack file.

    /index_hash  uint64  [N]  first 8 bytes of each /row_hash as a big-endian number, ascending
    /index_row   int64   [N]  the row that each of them belongs to

It is written with the pack and never changes, so it can neither be lost nor be out of date, and
no table grows with the number of rows. A lookup maps the file and searches by bisection: its cost
is that of the images asked for, not that of the rows there are.

Shapes: N rows of the pack, H hash bytes (16), M images that are looked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import h5py
import numpy as np
import numpy.typing as npt

from cache import formats
from cache.errors import Unreachable
from cache.places import Place, places_of

Rows = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Hashes = npt.NDArray[np.uint8]


def keys_of(hash_NH: Hashes) -> Keys:
    """The numbers by which content hashes are sorted: their first 8 bytes."""
    first = np.ascontiguousarray(hash_NH[:, :8])
    return first.view(">u8").ravel().astype(np.uint64)


def index_of(hash_NH: Hashes) -> tuple[Keys, Rows]:
    """Sorted keys [N], and the row of each [N]; of equal ones the lowest row comes first."""
    key_N = keys_of(hash_NH)
    row_N = np.argsort(key_N, kind="stable")
    return key_N[row_N], row_N.astype(np.int64)


@dataclass(frozen=True)
class RowIndex:
    """The index of one pack. All arrays are memory maps."""

    key_N: Keys
    row_N: Rows
    hash_NH: Hashes
    valid_N: npt.NDArray[np.uint8]

    def find(self, key_M: Keys, hash_MH: Hashes) -> Rows:
        """The row of each image [M], or -1. ``key_M`` must ascend and be ``keys_of(hash_MH)``.

        Two images whose hashes agree in 8 bytes but not in 16 hide each other: one of them is
        computed again, none is mistaken.
        """
        if not len(self.key_N):
            return np.full(len(key_M), -1, np.int64)
        place_M = np.searchsorted(self.key_N, key_M)
        place_M[place_M == len(self.key_N)] = 0
        row_M = np.full(len(key_M), -1, np.int64)
        hit = np.flatnonzero(self.key_N[place_M] == key_M)
        rows = self.row_N[place_M[hit]]
        same = (self.hash_NH[rows] == hash_MH[hit]).all(axis=1)
        row_M[hit[same]] = rows[same]
        return row_M


def open_index(path: Path) -> RowIndex | None:
    """The index of a sealed pack.

    None where the file is gone, damaged, older than the index or of a newer format.
    """
    try:
        status = path.stat()
        places = _places(path, status.st_ino, status.st_mtime_ns)
        # Mapped anew each time: a mapping that is kept would keep an evicted pack on the disk.
        arrays = {name: place.map(path) for name, place in places.items()}
    except (Unreachable, OSError, KeyError, ValueError, TypeError):
        return None
    return RowIndex(arrays["index_hash"], arrays["index_row"], arrays["row_hash"], arrays["valid"])


@lru_cache(maxsize=4096)
def _places(path: Path, inode: int, mtime_ns: int) -> dict[str, Place]:
    """Where each array of a file lies, which never changes."""
    with h5py.File(path, "r", locking=False) as file:
        if "created" not in file.attrs:
            raise KeyError("created")  # not sealed yet
        formats.refuse_newer(path.name, int(file.attrs["format_version"]), formats.PACK)
        return places_of(file, ("index_hash", "index_row", "row_hash", "valid"))
