"""The pack file: one HDF5 file that plain h5py, h5dump and MATLAB read without our code.

    /features    float32|float16 little-endian  [N, ...row]  contiguous, 4096-aligned, no filter
    /labels      int64                          [N]          -1 = unlabelled
    /row_hash    uint8                          [N, 16]      content hash of each image
    /row_id      UTF-8 strings                  [N]
    /valid       uint8                          [N]          0 = undecodable, all its features 0
    /shard_hash  uint8                          [S, 16]      XXH3-128 of each run of shard_rows rows
    /index_hash, /index_row                     [N]          rows by image: cache/row_index.py

The attributes hold JSON text: recipe, dataset, classes, splits, provenance; and format_version,
shard_rows, shard_hash_algorithm, rows_hash (XXH3-128 of labels, row hashes, valid and row ids, one
after the other), created.

Writing: the whole structure is made and closed first (:func:`create`); rows then go straight into
the byte range of ``/features`` (:mod:`cache.pack_writer`), so no HDF5 metadata is open while rows
are written, a crash cannot break the file, and several processes may write disjoint rows;
:func:`seal` adds the hashes and the provenance. HDF5's locks are off in all of this: they would
refuse to open a pack in the moment in which an eviction tries whether anybody reads it
(:mod:`cache.locks`). Shapes: N rows, S shards, D values in a row.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
import numpy.typing as npt

from cache import formats
from cache.dataset import Manifest, Splits
from cache.errors import CorruptData, FeaturepackError, Unavailable
from cache.identity import SHARD_HASH_ALGORITHM, hash_shard
from cache.places import Place, places_of
from cache.row_index import index_of

ALIGNMENT = 4096
SHARD_BYTES = 4 << 20
PLACED = ("features", "labels", "valid", "row_hash", "shard_hash")
"""The arrays that readers without HDF5 find by their offset."""

Dtype = Literal["float32", "float16"]


def shard_rows_for(row_bytes: int) -> int:
    """Rows of one shard: about 4 MiB of features, a power of two from 32 to 4096.

    It depends on the row's size alone, so equal packs have equal shards whoever wrote them.
    """
    rows = max(1, SHARD_BYTES // max(1, row_bytes))
    return int(min(4096, max(32, 1 << (rows.bit_length() - 1))))


@dataclass(frozen=True)
class Layout:
    """Where the parts that are written by offset lie in a pack file."""

    rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    shard_rows: int
    features_offset: int
    valid_offset: int

    @property
    def row_bytes(self) -> int:
        return int(np.prod(self.row_shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def shards(self) -> int:
        return -(-self.rows // self.shard_rows)

    def shard_span(self, shard: int) -> tuple[int, int]:
        """First row of a shard and the row after its last."""
        start = shard * self.shard_rows
        return start, min(self.rows, start + self.shard_rows)


def create(
    path: Path,
    manifest: Manifest,
    *,
    recipe: dict[str, Any],
    dataset: dict[str, Any],
    row_shape: tuple[int, ...],
    dtype: Dtype,
) -> None:
    """Write the file's whole structure, with room for the features, and close it.

    Raises:
        OSError: the disk is full (ENOSPC) or does not answer; the file may be there in part.
    """
    rows = len(manifest)
    row_bytes = int(np.prod(row_shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    shard_rows = shard_rows_for(row_bytes)
    threshold = max(1, min(rows * row_bytes, 1 << 16))
    options = {"alignment_threshold": threshold, "alignment_interval": ALIGNMENT}
    with h5py.File(path, "w", locking=False, **options) as file:
        _reserve(file, "features", (rows, *row_shape), np.dtype(dtype).newbyteorder("<"))
        _reserve(file, "valid", (rows,), np.dtype("u1"))
        file["labels"] = manifest.label_N.astype("<i8")
        file["row_hash"] = manifest.hash_NH
        file.create_dataset("row_id", data=manifest.row_id_N, dtype=h5py.string_dtype())
        file["shard_hash"] = np.zeros((-(-rows // shard_rows), 16), "u1")
        file["index_hash"], file["index_row"] = index_of(manifest.hash_NH)
        file.attrs["format_version"] = formats.PACK
        file.attrs["shard_rows"] = shard_rows
        file.attrs["shard_hash_algorithm"] = SHARD_HASH_ALGORITHM
        for name, value in (
            ("recipe", recipe),
            ("dataset", dataset),
            ("classes", manifest.classes),
            ("splits", manifest.splits),
        ):
            file.attrs[name] = json.dumps(value, ensure_ascii=False)
    _allocate(path)


def _allocate(path: Path) -> None:
    """Have the disk set the file's room aside: it is full now or not at all."""
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # a file system without it
                raise


def _reserve(file: h5py.File, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """A contiguous dataset that has its place in the file now and its values later."""
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.CONTIGUOUS)
    creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    creation.set_obj_track_times(False)
    space = h5py.h5s.create_simple(shape)
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), space, creation)


def read_layout(path: Path) -> Layout:
    """The layout of a pack file, sealed or not.

    Raises:
        FileNotFoundError: no such file.
        CorruptData: the file is not a pack of this format.
        Unavailable: it cannot be read just now; Unreachable where its format is newer.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            return _layout(file)
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _broken(path, error) from error


def _layout(file: h5py.File) -> Layout:
    version = int(file.attrs["format_version"])
    formats.refuse_newer(f"the pack {Path(file.filename).name}", version, formats.PACK)
    features, valid = file["features"], file["valid"]
    features_offset, valid_offset = features.id.get_offset(), valid.id.get_offset()
    if features_offset is None or valid_offset is None:
        raise ValueError("features or valid are not contiguous")
    end = features_offset + features.size * features.dtype.itemsize
    if end > Path(file.filename).stat().st_size:
        raise ValueError("the file is shorter than its features")
    return Layout(
        rows=features.shape[0],
        row_shape=tuple(features.shape[1:]),
        dtype=features.dtype,
        shard_rows=int(file.attrs["shard_rows"]),
        features_offset=features_offset,
        valid_offset=valid_offset,
    )


def _broken(path: Path, error: Exception) -> FeaturepackError:
    if isinstance(error, OSError) and error.errno is not None:
        # The system's error and not HDF5's: too many open files, no permission, a failing disk.
        return Unavailable(
            f"{path.name} cannot be read: {os.strerror(error.errno)}",
            value=path.name,
            remedy="check the store's disk, then try again",
        )
    return CorruptData(
        f"{path.name} is not a readable pack: {error}",
        value=path.name,
        remedy="delete the pack and submit the pair again",
    )


def seal(path: Path, shard_hashes: list[bytes], provenance: dict[str, Any]) -> None:
    """Add shard hashes, provenance and the time to a pack whose rows are all written."""
    with h5py.File(path, "r+", locking=False) as file:
        file.attrs["rows_hash"] = _rows_hash(
            file["labels"][:], file["row_hash"][:], file["valid"][:], file["row_id"].asstr()[:]
        )
        file["shard_hash"][:] = np.frombuffer(b"".join(shard_hashes), "u1").reshape(-1, 16)
        file.attrs["provenance"] = json.dumps(provenance, ensure_ascii=False)
        file.attrs["created"] = datetime.now(UTC).isoformat(timespec="seconds")


def _rows_hash(
    labels_N: npt.NDArray[Any],
    row_hash_NH: npt.NDArray[Any],
    valid_N: npt.NDArray[Any],
    row_id_N: Iterable[str],
) -> str:
    parts = (
        labels_N.astype("<i8").tobytes(),
        row_hash_NH.astype("u1").tobytes(),
        valid_N.astype("u1").tobytes(),
        "\0".join(row_id_N).encode("utf-8", "surrogateescape"),
    )
    return hash_shard(b"".join(parts)).hex()


FileId = tuple[int, int, int]
"""Which file stands under a name, even where one is built anew: device, inode, time of change."""


def file_id(file: Path | int) -> FileId:
    """Of a path, or of an open handle. Raises FileNotFoundError."""
    status = os.fstat(file) if isinstance(file, int) else file.stat()
    return status.st_dev, status.st_ino, status.st_mtime_ns


@dataclass(frozen=True)
class Pack:
    """A sealed pack opened for reading; ``features`` is a memory map, nothing is read ahead."""

    path: Path
    file_id: FileId
    places: dict[str, Place]
    features: npt.NDArray[Any]
    labels_N: npt.NDArray[np.int64]
    valid_N: npt.NDArray[np.bool_]
    row_hash_NH: npt.NDArray[np.uint8]
    row_id_N: list[str]
    shard_hash_SH: npt.NDArray[np.uint8]
    shard_rows: int
    classes: tuple[str, ...]
    splits: Splits
    recipe: dict[str, Any]
    dataset: dict[str, Any]
    provenance: dict[str, Any]
    rows_hash: str
    created: str

    def __len__(self) -> int:
        return len(self.labels_N)

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The row of each id."""
        return {row_id: row for row, row_id in enumerate(self.row_id_N)}

    def has_sound_rows(self) -> bool:
        """Whether everything about the rows but their features still gives its hash."""
        found = _rows_hash(self.labels_N, self.row_hash_NH, self.valid_N, self.row_id_N)
        return found == self.rows_hash

    def failed_shards(self) -> list[int]:
        """Shards whose rows no longer give their hash; empty for a sound pack."""
        spans = range(0, len(self), self.shard_rows)
        return [
            shard
            for shard, start in enumerate(spans)
            if hash_shard(self.features[start : start + self.shard_rows].tobytes())
            != self.shard_hash_SH[shard].tobytes()
        ]


def open_pack(path: Path) -> Pack:
    """Open a sealed pack.

    Raises:
        FileNotFoundError: no such file.
        CorruptData: the file is not a sealed pack of this format.
        Unavailable: it cannot be read just now; Unreachable where its format is newer.
    """
    try:
        found = file_id(path)  # before: should it be replaced now, the next reader finds out
        with h5py.File(path, "r", locking=False) as file:
            layout = _layout(file)
            places = places_of(file, PLACED)
            text = {name: str(file.attrs[name]) for name in file.attrs}
            splits = json.loads(text["splits"])
            return Pack(
                path=path,
                file_id=found,
                places=places,
                features=places["features"].map(path),
                labels_N=file["labels"][:],
                valid_N=file["valid"][:].astype(bool),
                row_hash_NH=file["row_hash"][:],
                row_id_N=[str(row_id) for row_id in file["row_id"].asstr()[:]],
                shard_hash_SH=file["shard_hash"][:],
                shard_rows=layout.shard_rows,
                classes=tuple(json.loads(text["classes"])),
                splits={name: (span[0], span[1]) for name, span in splits.items()},
                recipe=json.loads(text["recipe"]),
                dataset=json.loads(text["dataset"]),
                provenance=json.loads(text["provenance"]),
                rows_hash=text.get("rows_hash", ""),
                created=text["created"],
            )
    except FileNotFoundError:
        raise
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise _broken(path, error) from error
