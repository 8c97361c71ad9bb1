"""A published pack tells everything about itself: its row can be made again from the file.

So a lost database loses no pack. What is put back must prove itself as a new pack does: its id
follows from its recipe and its rows, and every shard gives its hash.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cache.dataset import ImageLocation, Manifest
from cache.errors import CorruptData
from cache.identity import blake2b_hex, canonical_json, hash_file, hash_shard
from cache.pack import Pack, open_pack
from cache.recipe import pack_id
from cache.rows import PackRow
from cache.sight import SHARED


class Stopped(Exception):
    """The caller wants to end before the file is hashed."""


def row_of_file(path: Path, stopping: Callable[[], bool]) -> PackRow | None:
    """The catalogue's row of a pack file, or None if it is no sound pack of its name.

    Raises:
        FileNotFoundError: it is gone.
        Unavailable: it cannot be read just now.
        Stopped: ``stopping`` became true.
    """
    status = path.stat()
    return _row_of_file(path, status.st_ino, status.st_size, status.st_mtime_ns, stopping)


@functools.lru_cache(maxsize=1024)
def _row_of_file(
    path: Path, _inode: int, size: int, _mtime_ns: int, stopping: Callable[[], bool]
) -> PackRow | None:
    """Remembered while the file stays the same: a damaged one may lie there for a day."""
    try:
        pack = open_pack(path)
        recipe_id = blake2b_hex(canonical_json(pack.recipe))
        dataset_id = _dataset_id(pack)
        named = pack_id(recipe_id, dataset_id) == path.stem
        if not named or dataset_id != pack.dataset["dataset_id"] or not _is_sound(pack, stopping):
            return None
        return PackRow(
            pack_id=path.stem,
            recipe_id=recipe_id,
            dataset_id=dataset_id,
            network=pack.recipe["network"],
            dataset=pack.dataset["name"],
            imported=pack.recipe.get("imported", False),
            recipe=pack.recipe,
            dataset_info={k: value for k, value in pack.dataset.items() if k != "dataset_id"},
            classes=list(pack.classes),
            splits={name: list(span) for name, span in pack.splits.items()},
            rows=len(pack),
            row_shape=list(pack.features.shape[1:]),
            dtype=pack.features.dtype.name,
            bytes=size,
            etag=hash_file(path),
            invalid_rows=[pack.row_id_N[row] for row in np.flatnonzero(~pack.valid_N)],
            provenance=pack.provenance,
            space=_space(pack),
            team=_space(pack) or None,
        )
    except (CorruptData, KeyError, TypeError, ValueError):
        return None


def _dataset_id(pack: Pack) -> str:
    """Computed again from the labels and the images' hashes."""
    nowhere_N = np.zeros(len(pack), np.int64)
    manifest = Manifest(
        classes=pack.classes,
        splits=pack.splits,
        row_id_N=pack.row_id_N,
        label_N=pack.labels_N,
        hash_NH=pack.row_hash_NH,
        location=ImageLocation("blob", ""),
        start_N=nowhere_N,
        size_N=nowhere_N,
        space=_space(pack),
    )
    return manifest.dataset_id


def _space(pack: Pack) -> str:
    """Whose the pack is stands in its file: what was private comes back as private."""
    return str(pack.dataset.get("space", SHARED))


def _is_sound(pack: Pack, stopping: Callable[[], bool]) -> bool:
    if not pack.has_sound_rows():
        return False
    for shard, start in enumerate(range(0, len(pack), pack.shard_rows)):
        if stopping():
            raise Stopped
        rows = pack.features[start : start + pack.shard_rows]
        if hash_shard(rows.tobytes()) != pack.shard_hash_SH[shard].tobytes():
            return False
    return True
