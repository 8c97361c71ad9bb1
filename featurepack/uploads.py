"""Local files → parts of a form. They are read while they are sent, never as a whole."""

from __future__ import annotations

import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, cast

from featurepack.errors import InvalidRequest
from featurepack.local.fetch import OnBytes

Part = tuple[str, IO[bytes]]
"""A file's name and its bytes."""

Form = list[tuple[str, Part]]
"""A form's parts, by the names of their fields."""


class _Told:
    """A file that tells how far it is read."""

    def __init__(self, file: IO[bytes], tell: Callable[[], None]) -> None:
        self._file = file
        self._tell = tell

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._file)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._tell()
        return data


def told_of(files: Form, on_bytes: OnBytes | None) -> Form:
    """The same parts; ``on_bytes`` hears how many of their bytes are sent, of how many."""
    if on_bytes is None:
        return files
    opened = [file for _, (_, file) in files]
    total = sum(os.fstat(file.fileno()).st_size for file in opened)

    def tell() -> None:
        on_bytes(sum(file.tell() for file in opened), total)

    return [(field, (name, cast("IO[bytes]", _Told(file, tell)))) for field, (name, file) in files]


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
