"""Local files → parts of a form. They are read while they are sent, never as a whole."""

from __future__ import annotations

import tempfile
import zipfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from featurepack.errors import InvalidRequest

Part = tuple[str, IO[bytes]]
"""A file's name and its bytes."""


def opened(stack: ExitStack, path: Path) -> Part:
    """A file as a part; ``stack`` closes it. Raises OSError."""
    return path.name, stack.enter_context(path.open("rb"))


def opened_images(stack: ExitStack, path: Path) -> Part:
    """An archive or a file of arrays as a part, or a folder of images as an archive.

    Raises:
        InvalidRequest: an empty folder.
        OSError: it cannot be read.
    """
    return opened(stack, path) if not path.is_dir() else _zipped(stack, path)


def _zipped(stack: ExitStack, folder: Path) -> Part:
    """The folder's files under their relative names, not compressed: images already are."""
    archive = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if not files:
        raise InvalidRequest(
            f"the folder {folder} is empty", value=str(folder), remedy="give a folder of images"
        )
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED, strict_timestamps=False) as zipped:
        for path in files:
            zipped.write(path, path.relative_to(folder).as_posix())
    archive.seek(0)
    return f"{folder.resolve().name}.zip", archive
