"""Locks that go with whoever holds them (``flock``): no crash leaves one behind.

Windows has none; there a client works without a local cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

with suppress(ModuleNotFoundError):
    import fcntl

CAN_LOCK = os.name == "posix"


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for the lock of that name and hold it, among the threads of all processes.

    Whoever clears the folder away removes the lock's file too; then it is made anew.
    """
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            if _has_name(handle, path):
                yield
                return
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing would not do for a process forked since
            os.close(handle)


@contextmanager
def if_free(path: Path) -> Iterator[bool]:
    """Hold the lock of an existing file if nobody else has it: else False, at once."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def keep(file: IO[bytes]) -> None:
    """Mark an open file as in use, until it and every map of it are closed."""
    fcntl.flock(file.fileno(), fcntl.LOCK_SH)


def _has_name(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
