"""Reading a file that must be a plain one, with no symbolic link on the way to it."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from cache.errors import InvalidRequest, TooLarge

_PIECE = 1 << 30
"""Linux reads at most 2 GiB in one call."""


def read_regular_file(root: Path, name: str, limit: int) -> bytes:
    """The bytes of a file below ``root`` (a resolved path), at most ``limit`` of them.

    Raises:
        OSError: it cannot be read.
        InvalidRequest: it is no regular file, or a link is on the way to it.
        TooLarge: it is larger than ``limit``.
    """
    path = str(root / name)
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise not_regular(name) from error
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode) or not _is_at(handle, path):
            raise not_regular(name)
        if facts.st_size > limit:
            raise TooLarge(
                f"{name!r} has {facts.st_size} bytes, the limit for an image is {limit}",
                value=name,
                remedy="scale the image down, or raise the limit",
            )
        return _read(handle, facts.st_size)
    finally:
        os.close(handle)


def not_regular(name: str) -> InvalidRequest:
    return InvalidRequest(
        f"{name!r} is a link or a special file",
        value=name,
        remedy="put the file itself or a copy of it there; links are not followed",
    )


def _is_at(handle: int, path: str) -> bool:
    """Whether an open file lies at this path, no link followed.

    The kernel knows in one call. Where it says otherwise, or nothing, every folder on the way is
    looked at: some file systems have another name for the same file.
    """
    with suppress(OSError):
        if os.readlink(f"/proc/self/fd/{handle}") == path:  # noqa: PTH115 - a Path takes longer
            return True
    return os.path.realpath(path) == path


def _read(handle: int, size: int) -> bytes:
    """At most ``size`` bytes from the start; fewer where the file was shortened meanwhile."""
    data = os.read(handle, min(size, _PIECE))
    if len(data) == size:
        return data
    pieces, left = [data], size - len(data)
    while left and (piece := os.read(handle, min(left, _PIECE))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
