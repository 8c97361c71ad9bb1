"""The stored images of a dataset, by their row."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from cache.dataset import Manifest
from cache.errors import NotFound
from cache.image_files import Entry, ImageFiles, Pixels, cannot_read, changed
from cache.store import Store


class StoredImages:
    """Reads rows of ``manifest`` from its blob or folder; any number of threads may share it.

    Raises:
        CorruptData: the blob or the folder is gone.
        InvalidRequest: the images are in a folder, and there is no data root.
        Unavailable: the blob cannot be opened.
    """

    def __init__(self, manifest: Manifest, store: Store) -> None:
        self._manifest = manifest
        location = manifest.location
        folder, blob = None, -1
        try:
            if location.kind == "folder":
                folder = store.folder(location.path)
            else:
                path = store.root / "datasets" / Path(location.path).name
                blob = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except (NotFound, FileNotFoundError) as error:
            raise changed(f"the images of dataset {manifest.dataset_id}") from error
        except OSError as error:
            raise cannot_read(location.path, error) from error
        self.files = ImageFiles(folder, blob, location.pixels_HWC)

    def __enter__(self) -> Self:
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
        self.files.close()

    def entry(self, row: int) -> Entry:
        """All that is needed to read a row, without the manifest."""
        manifest = self._manifest
        return Entry(
            row,
            manifest.row_id_N[row],
            int(manifest.start_N[row]),
            int(manifest.size_N[row]),
            manifest.hash_NH[row].tobytes(),
        )

    def read(self, row: int) -> bytes | Pixels:
        """The bytes of an image's file, or raw pixels uint8 ``[H, W, C]``, writable.

        Raises:
            CorruptData: the image is gone or has changed since it was registered.
            Unavailable: it cannot be read just now.
        """
        return self.files.read(self.entry(row))
