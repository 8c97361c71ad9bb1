"""The bytes of images that are looked for: each checked against its registered hash."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.disk_faults import unreadable
from cache.errors import CorruptData, InvalidRequest, TooLarge, Unavailable
from cache.identity import hash_file_bytes, hash_pixels
from cache.regular_file import read_regular_file

_MAX_FILE_BYTES = 4 << 30

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a manifest: which image, where in a blob, and the hash of its content."""

    row: int
    name: str
    start: int
    size: int
    hash: bytes


class ImageFiles:
    """An image folder (a resolved path), or an open blob with the shape of its raw pixels.

    Any number of threads may share it; pickled for a process that is being started, it takes
    the open blob along.
    """

    def __init__(
        self, folder: Path | None, blob: int, pixels_HWC: tuple[int, int, int] | None
    ) -> None:
        self._folder = folder
        self._blob = blob
        self._pixels_HWC = pixels_HWC

    def __reduce__(self) -> tuple[Callable[..., ImageFiles], tuple[Any, ...]]:
        blob = DupFd(self._blob) if self._blob >= 0 else None
        return _arrived, (self._folder, blob, self._pixels_HWC)

    def close(self) -> None:
        """Release the blob; reading is over."""
        if self._blob >= 0:
            os.close(self._blob)
            self._blob = -1

    def read(self, entry: Entry) -> bytes | Pixels:
        """The bytes of an image's file, or raw pixels uint8 ``[H, W, C]``, writable.

        Raises:
            CorruptData: the image is gone or has changed since it was registered.
            Unavailable: it cannot be read just now.
        """
        try:
            data = self._read(entry)
        except (FileNotFoundError, NotADirectoryError, InvalidRequest, TooLarge) as error:
            raise changed(f"the image {entry.name!r}") from error
        except OSError as error:
            raise cannot_read(entry.name, error) from error
        found = hash_file_bytes(data) if isinstance(data, bytes) else hash_pixels(data)
        if found != entry.hash:
            raise changed(f"the image {entry.name!r}")
        return data

    def _read(self, entry: Entry) -> bytes | Pixels:
        if self._folder is not None:
            return read_regular_file(self._folder, entry.name, _MAX_FILE_BYTES)
        # pread, not a mapping: a shortened file gives fewer bytes, not a SIGBUS.
        if self._pixels_HWC is None:
            return os.pread(self._blob, entry.size, entry.start)
        pixels_HWC = np.zeros(self._pixels_HWC, np.uint8)
        os.preadv(self._blob, [pixels_HWC.data.cast("B")], entry.start)
        return pixels_HWC


def _arrived(folder: Path | None, blob: Any, pixels_HWC: tuple[int, int, int] | None) -> ImageFiles:
    return ImageFiles(folder, blob.detach() if blob else -1, pixels_HWC)


def changed(what: str) -> CorruptData:
    return CorruptData(
        f"{what} changed since it was registered",
        value=what,
        remedy="register the dataset again",
    )


def cannot_read(name: str, error: OSError) -> Unavailable:
    return unreadable(error)(
        f"{name!r} cannot be read: {error.strerror}",
        value=name,
        remedy="check the disk and the worker's permissions, then try again",
    )
