"""Rows go straight into the byte range of a pack that was created and is not sealed yet.

No HDF5 here: only offsets, so nothing that a crash could break is open.
Shapes: N rows, D values in a row.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData, LeaseLost
from cache.identity import hash_shard
from cache.pack import read_layout

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class PackWriter:
    """Writes rows into their byte range of a created, not yet sealed, pack.

    The file is locked (flock) as long as it is open: nobody else ever has it open for writing,
    not even a process that was frozen and wakes up late. The lock goes with its process. A writer
    that calls :meth:`share` lets helpers :meth:`join` it, and nobody else can write before all of
    them have closed the file.

    Raises:
        BlockingIOError: another writer has the file open.
        FileNotFoundError, CorruptData: as :func:`cache.pack.read_layout`.
    """

    def __init__(self, path: Path, lock: int = fcntl.LOCK_EX) -> None:
        self.path = path
        self.layout = read_layout(path)
        self._handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(self._handle, lock | fcntl.LOCK_NB)
        except BaseException:
            self.close()
            raise

    @classmethod
    def join(cls, path: Path) -> PackWriter:
        """Help a writer that shares the file.

        Raises:
            LeaseLost: another worker has taken the file over.
        """
        try:
            joined = cls(path, fcntl.LOCK_SH)
        except (BlockingIOError, FileNotFoundError):
            joined = None
        if joined and joined._is_at(path):
            return joined
        if joined:
            joined.close()
        raise LeaseLost(f"{path.name} was taken over", remedy="nothing: the job goes on elsewhere")

    def _is_at(self, path: Path) -> bool:
        """Whether the open file still has this name."""
        with suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._handle), path.stat())
        return False

    def share(self) -> None:
        """Let helpers join. To be called after :meth:`move`, which tells them whose it is.

        Raises:
            BlockingIOError: another writer took the file over just now.
        """
        fcntl.flock(self._handle, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def __enter__(self) -> PackWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Writing is over, and the lock is given up. May be called again."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def move(self, path: Path) -> None:
        """Give the open file another name."""
        os.replace(self.path, path)
        self.path = path

    def write(self, row_N: Rows, features_ND: npt.NDArray[Any], valid_N: Mask) -> None:
        """Put rows where they belong; ``row_N`` must ascend.

        Raises:
            CorruptData: a value is not finite in the stored dtype.
        """
        if not len(row_N):
            return
        layout = self.layout
        with np.errstate(over="ignore"):
            stored = np.ascontiguousarray(features_ND, dtype=layout.dtype)
        if not np.isfinite(stored).all():
            raise _not_finite(row_N, stored, features_ND)
        data, valid = stored.reshape(len(row_N), -1), valid_N.astype("u1")
        for start, stop in _runs(row_N):
            first = int(row_N[start])
            offset = layout.features_offset + first * layout.row_bytes
            self._put(data[start:stop].view("u1").data, offset)
            self._put(valid[start:stop].data, layout.valid_offset + first)

    def _put(self, data: memoryview, offset: int) -> None:
        data = data.cast("B")
        while data:
            written = os.pwrite(self._handle, data, offset)
            data, offset = data[written:], offset + written

    def flush(self) -> None:
        """Return when all that was written is on the disk."""
        os.fdatasync(self._handle)

    def hash_shard(self, shard: int) -> bytes:
        """The hash of a shard's rows, read back from the file."""
        start, stop = self.layout.shard_span(shard)
        offset = self.layout.features_offset + start * self.layout.row_bytes
        return hash_shard(self._get((stop - start) * self.layout.row_bytes, offset))

    def digest(self, shard: int) -> bytes:
        """The hash of a shard's rows (16 bytes) and that of their marks in ``/valid`` (16)."""
        start, stop = self.layout.shard_span(shard)
        marks = self._get(stop - start, self.layout.valid_offset + start)
        return self.hash_shard(shard) + hash_shard(marks)

    def _get(self, size: int, offset: int) -> bytes:
        pieces = []
        while size and (piece := os.pread(self._handle, size, offset)):
            pieces.append(piece)
            size, offset = size - len(piece), offset + len(piece)
        return b"".join(pieces)

    def read_rows(self, row_N: Rows) -> npt.NDArray[Any]:
        """The stored values of some rows, [N, ...row], read back from the file."""
        layout = self.layout
        shape = (layout.rows, *layout.row_shape)
        features = np.memmap(self.path, layout.dtype, "r", layout.features_offset, shape)
        return np.array(features[row_N])

    def read_valid(self, row_N: Rows) -> Mask:
        """For each row whether its image could be decoded; False where it is not written yet."""
        valid = np.memmap(self.path, np.uint8, "r", self.layout.valid_offset, (self.layout.rows,))
        return np.array(valid[row_N], bool)


def _runs(row_N: Rows) -> Iterator[tuple[int, int]]:
    """The places in ``row_N`` where runs of consecutive rows start and stop."""
    breaks = np.flatnonzero(np.diff(row_N) != 1) + 1
    edges = [0, *breaks.tolist(), len(row_N)]
    return ((a, b) for a, b in itertools.pairwise(edges) if a < b)


def _not_finite(
    row_N: Rows, stored: npt.NDArray[Any], features_ND: npt.NDArray[Any]
) -> CorruptData:
    row = int(row_N[np.argmin(np.isfinite(stored).reshape(len(stored), -1).all(axis=1))])
    if np.isfinite(features_ND).all():
        message, remedy = f"row {row} has values that float16 cannot hold", "store float32"
    else:
        message = f"row {row} has infinite or NaN values"
        remedy = "check the weights and the transform's mean and std"
    return CorruptData(message, value=row, remedy=remedy)
