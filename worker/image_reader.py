"""The bytes of a dataset's images, each checked against the hash that it was registered with."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from cache.dataset import Manifest
from cache.errors import CorruptData, InvalidRequest, NotFound, TooLarge, Unavailable
from cache.identity import hash_file_bytes, hash_pixels
from cache.store import Store
from worker.faults import unreadable
from worker.images import decode, pixels_to_rgb
from worker.sources.folder import read_regular_file
from worker.sources.source import Pixels

_MAX_FILE_BYTES = 4 << 30


class ImageReader:
    """Reads rows of ``manifest`` from its blob or folder; any number of threads may share it.

    Raises:
        CorruptData: the blob or the folder is gone.
        InvalidRequest: the images are in a folder, and this worker has no data root.
        Unavailable: the blob cannot be opened.
    """

    def __init__(self, manifest: Manifest, store: Store) -> None:
        self._manifest = manifest
        self._folder = Path()
        self._blob = -1
        location = manifest.location
        try:
            if location.kind == "folder":
                self._folder = store.folder(location.path)
            else:
                blob = store.root / "datasets" / Path(location.path).name
                self._blob = os.open(blob, os.O_RDONLY | os.O_CLOEXEC)
        except (NotFound, FileNotFoundError) as error:
            raise _changed(f"the images of dataset {manifest.dataset_id}") from error
        except OSError as error:
            raise _unreadable(location.path, error) from error

    def __enter__(self) -> ImageReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the blob; reading is over."""
        if self._blob >= 0:
            os.close(self._blob)
            self._blob = -1

    def read(self, row: int) -> bytes | Pixels:
        """The bytes of an image's file, or raw pixels uint8 ``[H, W, C]``, writable.

        Raises:
            CorruptData: the image is gone or has changed since it was registered.
            Unavailable: it cannot be read just now.
        """
        name = self._manifest.row_id_N[row]
        try:
            data = self._read(row, name)
        except (FileNotFoundError, NotADirectoryError, InvalidRequest, TooLarge) as error:
            raise _changed(f"the image {name!r}") from error
        except OSError as error:
            raise _unreadable(name, error) from error
        found = hash_file_bytes(data) if isinstance(data, bytes) else hash_pixels(data)
        if found != self._manifest.hash_NH[row].tobytes():
            raise _changed(f"the image {name!r}")
        return data

    def decode_row(self, row: int) -> Pixels:
        """The pixels of an image: uint8 RGB ``[H, W, 3]``.

        Raises:
            CorruptData: as :meth:`read`, or the image cannot be decoded.
            TooLarge: it has too many pixels.
        """
        data = self.read(row)
        return decode(data) if isinstance(data, bytes) else pixels_to_rgb(data)

    def _read(self, row: int, name: str) -> bytes | Pixels:
        if self._manifest.location.kind == "folder":
            return read_regular_file(self._folder, name, _MAX_FILE_BYTES)
        # pread, not a mapping: a shortened file gives fewer bytes, not a SIGBUS.
        start, size = int(self._manifest.start_N[row]), int(self._manifest.size_N[row])
        shape = self._manifest.location.pixels_HWC
        if shape is None:
            return os.pread(self._blob, size, start)
        pixels_HWC = np.zeros(shape, np.uint8)
        os.preadv(self._blob, [pixels_HWC.data.cast("B")], start)
        return pixels_HWC


def _changed(what: str) -> CorruptData:
    return CorruptData(
        f"{what} changed since it was registered",
        value=what,
        remedy="register the dataset again",
    )


def _unreadable(name: str, error: OSError) -> Unavailable:
    return unreadable(error)(
        f"{name!r} cannot be read: {error.strerror}",
        value=name,
        remedy="check the disk and the worker's permissions, then try again",
    )
