"""Opening the file of a pack: go on with what an earlier attempt left, or begin.

What is there is believed as far as the database has recorded its shards and their bytes still
give the recorded hashes. A file that no other process has open for writing (its lock can be had)
is taken over as it is. One that a frozen worker may still hold is left to that worker: its sound
shards are copied into a new file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cache import pack
from cache.dataset import Manifest
from cache.errors import CorruptData
from cache.leases import Leases, Shard
from cache.pack import Layout
from cache.pack_writer import PackWriter
from cache.reuse import Known
from cache.store import Store
from worker.building import Building
from worker.plan import Plan, PlannedPack


def open_building(
    store: Store,
    leases: Leases,
    plan: Plan,
    planned: PlannedPack,
    manifest: Manifest,
    row_shape: tuple[int, ...],
    known: Known,
) -> Building:
    """The pack's file with the shards that are good. Raises LeaseLost, Unavailable."""
    folder = store.building(planned.pack_id)
    folder.mkdir(exist_ok=True)
    path = folder / f"{planned.job.id}-{planned.job.attempt}.h5"
    dtype = np.dtype(planned.recipe.numerics.stored)
    recorded = {one.shard: one for one in leases.recorded_shards(planned.pack_id)}
    # Where no shard is recorded there is nothing to go on with.
    wanted = (len(manifest), row_shape, dtype)
    earlier = _earlier(store, planned.pack_id, wanted) if recorded else None
    writer = _take_over(earlier, path) if earlier else None
    if writer is None:
        _clear(folder, but=earlier)  # first: the disk may not have room for both
        writer = _begin(path, plan, planned, manifest, row_shape)
        if earlier:
            _copy_shards(earlier, writer, list(recorded.values()))
    _clear(folder, but=path)
    sound = {n: one for n, one in recorded.items() if writer.digest(n) == one.digest}
    if len(sound) < len(recorded):
        leases.forget_shards(planned.job)
        if sound:
            leases.record_shards(planned.job, list(sound.values()))
    return Building(planned, writer, known, sound)


def _earlier(
    store: Store, pack_id: str, wanted: tuple[int, tuple[int, ...], np.dtype[np.generic]]
) -> Path | None:
    """The newest file of an earlier attempt that has the structure of this pack."""
    files = sorted(store.building(pack_id).iterdir(), key=lambda path: -path.stat().st_mtime)
    # A pack that has its name, but whose worker died before the catalogue knew, comes first.
    for path in (store.pack(pack_id), *files):
        try:
            if _shape(pack.read_layout(path)) == wanted:
                return path
        except (FileNotFoundError, CorruptData):
            continue
    return None


def _shape(layout: Layout) -> tuple[int, tuple[int, ...], np.dtype[np.generic]]:
    return layout.rows, layout.row_shape, layout.dtype


def _clear(folder: Path, but: Path | None) -> None:
    for path in folder.iterdir():
        if path != but:
            path.unlink()


def _begin(
    path: Path, plan: Plan, planned: PlannedPack, manifest: Manifest, row_shape: tuple[int, ...]
) -> PackWriter:
    """A new file with room for all rows; nothing of it stays if the disk is full."""
    try:
        pack.create(
            path,
            manifest,
            recipe=planned.recipe.as_dict(),
            dataset=plan.dataset | {"dataset_id": plan.dataset_id},
            row_shape=row_shape,
            dtype=planned.recipe.numerics.stored,
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return PackWriter(path)


def _take_over(earlier: Path, path: Path) -> PackWriter | None:
    """The earlier file under our own name; None while another process writes to it."""
    try:
        earlier.chmod(0o644)
        writer = PackWriter(earlier)
    except (BlockingIOError, FileNotFoundError):
        return None
    writer.move(path)
    return writer


def _copy_shards(earlier: Path, writer: PackWriter, recorded: list[Shard]) -> None:
    """Their bytes as they are; the caller checks the hashes."""
    layout = writer.layout
    shape = (layout.rows, *layout.row_shape)
    old = pack.read_layout(earlier)
    features = np.memmap(earlier, layout.dtype, "r", old.features_offset, shape)
    valid_N = np.memmap(earlier, np.uint8, "r", old.valid_offset, (layout.rows,))
    for one in recorded:
        row_N = np.arange(*layout.shard_span(one.shard))
        rows = np.array(features[row_N])
        if np.isfinite(rows).all():
            writer.write(row_N, rows, valid_N[row_N] != 0)
