"""A manifest on disk: one small HDF5 file per dataset version or view."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from uuid import uuid4

import h5py
import numpy as np

from cache import formats
from cache.atomic import replacing
from cache.dataset import ImageLocation, Manifest
from cache.errors import CorruptData, Unreachable
from cache.sight import SHARED

UNREADABLE = "?"
"""What :func:`blob_of` answers for a manifest that cannot be read: any blob may be its own."""


def save_manifest(path: Path, manifest: Manifest) -> None:
    """Write ``manifest`` so that ``path`` is either the whole file or not there.

    HDF5 makes the file in memory: it cannot close one well that a full disk has cut short. There,
    too, files that are open at once need names of their own, though nobody sees these.
    """
    with h5py.File(f"{path.name}-{uuid4().hex}", "w", driver="core", backing_store=False) as file:
        _fill(file, manifest)
        file.flush()
        image = file.id.get_file_image()
    with replacing(path) as beside:
        beside.write_bytes(image)


def _fill(file: h5py.File, manifest: Manifest) -> None:
    location = manifest.location
    file.attrs["format_version"] = formats.MANIFEST
    file.attrs["dataset_id"] = manifest.dataset_id
    if manifest.space:
        file.attrs["space"] = manifest.space
    file.attrs["classes"] = json.dumps(manifest.classes, ensure_ascii=False)
    file.attrs["splits"] = json.dumps(manifest.splits, ensure_ascii=False)
    file.attrs["location"] = json.dumps(
        {"kind": location.kind, "path": location.path, "pixels_HWC": location.pixels_HWC}
    )
    file["label"] = manifest.label_N.astype("<i8")
    file["hash"] = manifest.hash_NH
    file["start"] = manifest.start_N.astype("<i8")
    file["size"] = manifest.size_N.astype("<i8")
    file.create_dataset("row_id", data=manifest.row_id_N, dtype=h5py.string_dtype())


def load_manifest(path: Path) -> Manifest:
    """Read a manifest and check it against the id it was saved with.

    Raises:
        FileNotFoundError: no such file.
        CorruptData: the file is not a manifest, or its rows do not give its id.
        Unreachable: its format is newer.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            _refuse_newer(file, path)
            location = json.loads(file.attrs["location"])
            pixels = location["pixels_HWC"]
            manifest = Manifest(
                classes=tuple(json.loads(file.attrs["classes"])),
                splits={k: (v[0], v[1]) for k, v in json.loads(file.attrs["splits"]).items()},
                row_id_N=[str(row_id) for row_id in file["row_id"].asstr()[:]],
                label_N=file["label"][:],
                hash_NH=file["hash"][:].reshape(-1, 16),
                location=ImageLocation(
                    location["kind"], location["path"], tuple(pixels) if pixels else None
                ),
                start_N=np.asarray(file["start"][:]),
                size_N=np.asarray(file["size"][:]),
                space=str(file.attrs.get("space", SHARED)),
            )
            expected = str(file.attrs["dataset_id"])
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError) as error:
        raise CorruptData(
            f"the manifest {path.name} cannot be read: {error}",
            value=path.name,
            remedy="register the dataset again",
        ) from error
    if manifest.dataset_id != expected:
        raise CorruptData(
            f"the manifest {path.name} does not match its id {expected}",
            value=expected,
            remedy="register the dataset again",
        )
    return manifest


def blob_of(path: Path) -> str | None:
    """The name of the blob that holds a manifest's images; None where no blob does."""
    try:
        return _blob_of(path, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@functools.lru_cache(maxsize=1 << 18)
def _blob_of(path: Path, _mtime_ns: int) -> str | None:
    """Remembered while the manifest stays the same: a store may have many."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            _refuse_newer(file, path)
            location = json.loads(file.attrs["location"])
            return Path(location["path"]).name if location["kind"] == "blob" else None
    except FileNotFoundError:
        raise
    except (Unreachable, OSError, KeyError, ValueError):
        return UNREADABLE


def _refuse_newer(file: h5py.File, path: Path) -> None:
    version = int(file.attrs["format_version"])
    formats.refuse_newer(f"the manifest {path.name}", version, formats.MANIFEST)
