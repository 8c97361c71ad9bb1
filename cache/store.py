"""The store's folders: one place that knows what lies where.

packs/<pack_id>.h5            published packs, read-only
building/<pack_id>.h5         packs being written
datasets/<dataset_id>.h5      manifests
datasets/<dataset_id>.images  image blobs of datasets that were uploaded or downloaded
weights/<sha256>.<suffix>     uploaded checkpoints
heads/<head_id>.npz           trained heads
incoming/<random>             uploads that no job has taken in yet
downloads/                    what torchvision fetched
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cache.atomic import fsync_path
from cache.dataset import Manifest
from cache.errors import InvalidRequest, NotFound
from cache.manifest_file import load_manifest, save_manifest

FOLDERS = ("packs", "building", "datasets", "weights", "heads", "incoming", "downloads")


@dataclass(frozen=True)
class Store:
    """The folders below ``root``; ``data_root`` holds image folders that stay where they are."""

    root: Path
    data_root: Path | None = None

    @property
    def database_url(self) -> str:
        """The embedded database, where no other one is named: service and worker must agree."""
        return f"sqlite:///{self.root / 'featurepack.db'}"

    def create(self) -> Store:
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        return self

    def pack(self, pack_id: str) -> Path:
        return self.root / "packs" / f"{pack_id}.h5"

    def building(self, pack_id: str) -> Path:
        return self.root / "building" / f"{pack_id}.h5"

    def manifest(self, dataset_id: str) -> Path:
        return self.root / "datasets" / f"{dataset_id}.h5"

    def blob(self, dataset_id: str) -> Path:
        return self.root / "datasets" / f"{dataset_id}.images"

    def weights(self, sha256: str, suffix: str) -> Path:
        return self.root / "weights" / f"{sha256}{suffix}"

    def head(self, head_id: str) -> Path:
        return self.root / "heads" / f"{head_id}.npz"

    def new_incoming(self) -> Path:
        return self.root / "incoming" / secrets.token_hex(16)

    def incoming(self, name: str) -> Path:
        return self.root / "incoming" / Path(name).name

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    def load_manifest(self, dataset_id: str) -> Manifest:
        """Raises NotFound where no manifest has this id."""
        try:
            return load_manifest(self.manifest(dataset_id))
        except FileNotFoundError as error:
            raise NotFound(
                f"no manifest {dataset_id}",
                value=dataset_id,
                remedy="register the dataset again",
            ) from error

    def save_manifest(self, manifest: Manifest) -> None:
        """Keep a manifest under its id; the newest knows best where the images are."""
        save_manifest(self.manifest(manifest.dataset_id), manifest)

    def publish_pack(self, pack_id: str) -> Path:
        """The built file gets its final name; from here on it is read-only."""
        built, final = self.building(pack_id), self.pack(pack_id)
        fsync_path(built)
        built.chmod(0o444)
        os.replace(built, final)
        fsync_path(final.parent)
        return final

    def discard_building(self, pack_id: str) -> None:
        """What is written of a pack that will not be finished."""
        self.building(pack_id).unlink(missing_ok=True)

    def remove_pack(self, pack_id: str) -> None:
        """Out of the catalogue's sight first, then unlinked; open readers finish."""
        final = self.pack(pack_id)
        gone = final.with_name(f".{final.name}.{secrets.token_hex(4)}.gone")
        try:
            os.replace(final, gone)
        except FileNotFoundError:
            return
        gone.unlink()

    def remove_dataset(self, dataset_id: str) -> None:
        """The manifest and the images that were kept for it."""
        self.manifest(dataset_id).unlink(missing_ok=True)
        self.blob(dataset_id).unlink(missing_ok=True)

    def folder(self, path: str) -> Path:
        """An image folder below the data root.

        Raises:
            InvalidRequest: no data root is set, or the path leads out of it.
            NotFound: there is no such folder.
        """
        if self.data_root is None:
            raise InvalidRequest(
                "this service has no data root",
                value=path,
                remedy="set FEATUREPACK_DATA_ROOT, or upload the images as an archive",
            )
        root = self.data_root.resolve()
        found = (root / path).resolve()
        if Path(path).is_absolute() or not found.is_relative_to(root):
            wrong = "is absolute" if Path(path).is_absolute() else "leads out of the data root"
            raise InvalidRequest(
                f"the path {path!r} {wrong}",
                value=path,
                remedy="give a path relative to the data root, without '..' and without links out",
            )
        if not found.is_dir():
            raise NotFound(
                f"no folder {path!r} under the data root",
                value=path,
                remedy="give the path of a folder relative to the data root",
            )
        return found
