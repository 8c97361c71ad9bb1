"""Rows go straight into the byte range of a pack that was created and is not sealed yet.

No HDF5 here: only offsets, so nothing that a crash could break is open.
Shapes: N rows, D values in a row.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData
from cache.identity import hash_shard
from cache.pack import read_layout


class PackWriter:
    """Writes rows into their byte range of a created, not yet sealed, pack."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.layout = read_layout(path)
        self._handle = os.open(path, os.O_RDWR)

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._handle)

    def write(
        self, start: int, features_ND: npt.NDArray[Any], valid_N: npt.NDArray[np.bool_]
    ) -> None:
        """Put rows ``start`` and following where they belong.

        Raises:
            CorruptData: a value is not finite in the stored dtype.
        """
        layout = self.layout
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(features_ND, dtype=layout.dtype)
        if not np.isfinite(stored).all():
            row = start + int(np.argmin(np.isfinite(stored).reshape(len(stored), -1).all(axis=1)))
            if np.isfinite(features_ND).all():
                message, remedy = f"row {row} has values that float16 cannot hold", "store float32"
            else:
                message = f"row {row} has infinite or NaN values"
                remedy = "check the weights and the transform's mean and std"
            raise CorruptData(message, value=row, remedy=remedy)
        self._put(stored.view("u1").data, layout.features_offset + start * layout.row_bytes)
        self._put(valid_N.astype("u1").data, layout.valid_offset + start)

    def _put(self, data: memoryview, offset: int) -> None:
        data = data.cast("B")
        while data:
            written = os.pwrite(self._handle, data, offset)
            data, offset = data[written:], offset + written

    def finish_shard(self, shard: int) -> bytes:
        """Flush a shard's rows to the disk and return their hash, read back from the file."""
        os.fdatasync(self._handle)
        return self.hash_shard(shard)

    def hash_shard(self, shard: int) -> bytes:
        start, stop = self.layout.shard_span(shard)
        size = (stop - start) * self.layout.row_bytes
        offset = self.layout.features_offset + start * self.layout.row_bytes
        pieces = []
        while size and (piece := os.pread(self._handle, size, offset)):
            pieces.append(piece)
            size, offset = size - len(piece), offset + len(piece)
        return hash_shard(b"".join(pieces))

    def read_rows(self, rows: Sequence[int]) -> npt.NDArray[Any]:
        """The stored values of some rows, [len(rows), ...row], read back from the file."""
        layout = self.layout
        shape = (layout.rows, *layout.row_shape)
        features = np.memmap(self.path, layout.dtype, "r", layout.features_offset, shape)
        return np.array(features[list(rows)])

    def invalid_rows(self) -> list[int]:
        """Rows that are marked undecodable (or are not written yet)."""
        valid = os.pread(self._handle, self.layout.rows, self.layout.valid_offset)
        return [int(row) for row in np.flatnonzero(np.frombuffer(valid, "u1") == 0)]
