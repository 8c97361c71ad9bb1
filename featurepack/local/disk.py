"""Bytes into a file of known length, whose room is set aside before the first of them comes."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from featurepack.errors import DiskFull

_FULL = (errno.ENOSPC, errno.EDQUOT)
_UNKNOWN = (errno.EOPNOTSUPP, errno.EINVAL)
"""A file system that cannot set room aside."""


@contextmanager
def allocated(path: Path, length: int) -> Iterator[int]:
    """An open file of that length, new or as it is; the disk has room for it.

    Raises:
        DiskFull: it has not; an empty file is not left behind.
        OSError: it cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with told_if_full(path):
            _reserve(handle, length)
            yield handle
    except DiskFull:
        if os.fstat(handle).st_blocks == 0:
            path.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _reserve(handle: int, length: int) -> None:
    try:
        if length and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, length)
    except OSError as error:
        if error.errno not in _UNKNOWN:
            os.ftruncate(handle, 0)  # what was set aside in vain
            raise
    os.ftruncate(handle, length)


@contextmanager
def told_if_full(path: Path) -> Iterator[None]:
    """Say what to do where the system only says that there is no room. Raises DiskFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise DiskFull(
            f"no room for {path.name} in {path.parent}",
            value=str(path),
            remedy="free space, choose another cache_dir (FEATUREPACK_CACHE), or use cache=False",
        ) from error


def put(handle: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of ``data`` at an offset."""
    written = os.pwrite(handle, data, offset)
    while written < len(data):
        written += os.pwrite(handle, memoryview(data)[written:], offset + written)
