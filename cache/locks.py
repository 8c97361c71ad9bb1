"""Locks on files and folders that tell an upkeep what is in use (``flock``, so a crash lets go).

Readers of a pack hold a shared lock on its file, as HDF5's own readers do; whoever evicts it must
get the exclusive one. Writers of hidden or incoming files hold a shared lock on the folder;
whoever clears it away must get the exclusive one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def in_use(path: Path, wait: bool = True) -> Iterator[int]:
    """Hold a shared lock on a file or folder; the handle that holds it.

    Raises:
        OSError: it cannot be opened; without ``wait`` BlockingIOError while it is being evicted.
    """
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB))
        yield handle
    finally:
        os.close(handle)


@contextmanager
def unused(path: Path) -> Iterator[bool]:
    """Hold the exclusive lock while the block runs, if nobody holds any: else False, at once.

    A path that is not there is used by nobody. Where the file system knows no locks, everything
    counts as used.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        yield _try_exclusive(handle)
    finally:
        os.close(handle)


def _try_exclusive(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def writing_in(folder: Path) -> Iterator[None]:
    """Keep an upkeep away from the folder's unfinished files while the block writes one."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks: there the files' age must do
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)
