"""A final file name means a complete file: write beside, fsync, rename, fsync the folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cache.locks import writing_in


def fsync_path(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def publish(beside: Path, final: Path) -> None:
    """Give a finished file its final name, durably."""
    fsync_path(beside)
    os.replace(beside, final)
    fsync_path(final.parent)


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """Yield a path to write to; it becomes ``final`` if the block ends well, else it goes."""
    beside = final.with_name(f".{final.name}.{secrets.token_hex(4)}.part")
    with writing_in(final.parent):
        try:
            yield beside
            publish(beside, final)
        finally:
            beside.unlink(missing_ok=True)
