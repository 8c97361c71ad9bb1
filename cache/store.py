"""The store's folders: one place that knows what lies where.

store.id                      which store this is: its database knows the same
restoring                     there while a backup is restored into the store: which one
packs/<pack_id>.h5            published packs, read-only
building/<pack_id>/<name>.h5  a pack being written, by one attempt at its job
quarantine/<pack_id>.h5       packs that were found damaged
datasets/<dataset_id>.h5      manifests
datasets/<dataset_id>.images  image blobs of datasets that were uploaded or downloaded
weights/<sha256>.<suffix>     uploaded checkpoints
heads/<head_id>.npz           trained heads
exports/<head_id>-<hash>.onnx heads with their networks, to be made again when wanted
derived/<pack_id>-<etag>.*    what was computed of packs' rows: statistics, maps
incoming/<random>             uploads that no job has taken in yet
downloads/                    what torchvision fetched
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cache.atomic import fsync_path
from cache.dataset import Manifest
from cache.errors import InvalidRequest, NotFound, Unavailable
from cache.locks import in_use
from cache.manifest_file import load_manifest, save_manifest

FOLDERS = (
    "packs",
    "building",
    "quarantine",
    "datasets",
    "weights",
    "heads",
    "exports",
    "derived",
    "incoming",
    "downloads",
)


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

    @property
    def identity_file(self) -> Path:
        return self.root / "store.id"

    @property
    def restoring_file(self) -> Path:
        return self.root / "restoring"

    def identity(self) -> str | None:
        """The store's id, or None where it has none yet (or where its volume is not mounted)."""
        try:
            return self.identity_file.read_text("ascii").strip()
        except FileNotFoundError:
            return None

    def check(self) -> None:
        """Raises Unavailable where the store is not there, as before its volume is mounted."""
        if self.identity() is None:
            raise Unavailable("the store is gone", value=str(self.root), remedy="mount it again")

    def make_identity(self) -> str:
        """The store's id, made if there is none; the same one whoever else makes it now.

        A new file's time is 1970; :meth:`note_new_database` sets it.
        """
        made = self.identity_file.with_name(f".store.id.{secrets.token_hex(4)}.part")
        try:
            made.write_text(secrets.token_hex(16) + "\n", "ascii")
            os.utime(made, (0, 0))
            fsync_path(made)
            with suppress(FileExistsError):
                self.identity_file.hardlink_to(made)
            fsync_path(self.root)
        finally:
            made.unlink(missing_ok=True)
        return self.identity_file.read_text("ascii").strip()

    def note_new_database(self) -> None:
        """The store's database was lost: what it knew of may be restored, so it is not old yet."""
        os.utime(self.identity_file)

    @property
    def database_since(self) -> float:
        """When a lost database was replaced, in seconds since 1970; 0 if none ever was."""
        return self.identity_file.stat().st_mtime

    def pack(self, pack_id: str) -> Path:
        return self.root / "packs" / f"{pack_id}.h5"

    def building(self, pack_id: str) -> Path:
        """The folder of a pack that is not finished."""
        return self.root / "building" / pack_id

    def quarantined(self, pack_id: str) -> Path:
        return self.root / "quarantine" / f"{pack_id}.h5"

    def manifest(self, dataset_id: str) -> Path:
        return self.root / "datasets" / f"{dataset_id}.h5"

    def blob(self, dataset_id: str) -> Path:
        return self.root / "datasets" / f"{dataset_id}.images"

    def weights(self, sha256: str, suffix: str) -> Path:
        return self.root / "weights" / f"{sha256}{suffix}"

    def head(self, head_id: str) -> Path:
        return self.root / "heads" / f"{head_id}.npz"

    def export(self, head_id: str, head_hash: str) -> Path:
        """A head with its network, made of the head's file with this hash."""
        return self.root / "exports" / f"{head_id}-{head_hash}.onnx"

    def delete_head(self, head_id: str) -> None:
        """The head and what was made of it."""
        self.head(head_id).unlink(missing_ok=True)
        for path in (self.root / "exports").glob(f"{head_id}-*.onnx"):
            path.unlink(missing_ok=True)

    def derived(self, pack_id: str, etag: str, what: str) -> Path:
        """What was computed of the rows of the pack's file with this ETag."""
        return self.root / "derived" / f"{pack_id}-{etag}.{what}"

    def delete_derived(self, pack_id: str) -> None:
        """Of every file that the pack ever had."""
        for path in (self.root / "derived").glob(f"{pack_id}-*"):
            path.unlink(missing_ok=True)

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

    def touch_manifest(self, dataset_id: str) -> None:
        """It is wanted again."""
        os.utime(self.manifest(dataset_id))

    def publish_pack(self, pack_id: str, built: Path) -> None:
        """Give a built file its final name; from here on it is read-only.

        Called again after it has done so, it does nothing: a commit whose answer was lost is
        tried again.
        """
        final = self.pack(pack_id)
        if built.exists() or not final.exists():
            fsync_path(built)
            built.chmod(0o444)
            os.replace(built, final)
        fsync_path(final.parent)

    def discard_building(self, pack_id: str) -> None:
        """What is written of a pack that will not be finished."""
        shutil.rmtree(self.building(pack_id), ignore_errors=True)

    def holds_pack(self, pack_id: str, size: int) -> bool:
        """Whether the pack's file is there, of that many bytes.

        Raises:
            Unavailable: the folder of all packs is gone, so this tells nothing about one of them.
        """
        try:
            return self.pack(pack_id).stat().st_size == size
        except FileNotFoundError:
            if self.pack(pack_id).parent.is_dir():
                return False
            raise Unavailable(
                "the store is gone", value=str(self.root), remedy="mount it again"
            ) from None

    @contextmanager
    def reading(self, pack_id: str, wait: bool = True) -> Iterator[int]:
        """Keep the pack's file from being evicted while the block reads it; an open handle of it.

        Raises:
            FileNotFoundError: there is no such file.
            BlockingIOError: without ``wait``: it is being evicted just now.
        """
        path = self.pack(pack_id)
        with in_use(path, wait) as handle:
            # Between opening and locking it may have been evicted, and another built since.
            if not os.path.samestat(path.stat(), os.fstat(handle)):
                raise FileNotFoundError(path)
            yield handle

    def hide_pack(self, pack_id: str) -> Path | None:
        """Take a pack's file out of sight; the hidden path, to be unlinked when it is forgotten.

        Open readers finish. None where there is no file.
        """
        final = self.pack(pack_id)
        gone = final.with_name(f".{final.name}.{secrets.token_hex(4)}.gone")
        try:
            os.replace(final, gone)
        except FileNotFoundError:
            return None
        fsync_path(final.parent)
        return gone

    def quarantine_pack(self, pack_id: str) -> None:
        """Put a damaged pack's file aside; from now on its age is the time since then."""
        aside = self.quarantined(pack_id)
        try:
            os.replace(self.pack(pack_id), aside)
        except FileNotFoundError:
            return
        os.utime(aside)
        fsync_path(aside.parent)
        fsync_path(self.pack(pack_id).parent)

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
