"""A pack while it is being built: its file in ``building/`` and the shards that are recorded.

The file is made by the first attempt at the job. A later attempt goes on with it when its
structure can be read and fits; each recorded shard is hashed again before it is believed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import numpy.typing as npt

from cache import pack
from cache.dataset import Manifest
from cache.errors import CorruptData
from cache.leases import Leases
from cache.pack_writer import PackWriter
from cache.store import Store
from worker.plan import Plan, PlannedPack


@dataclass
class Building:
    """One pack of a plan, open for rows."""

    planned: PlannedPack
    writer: PackWriter
    hashes: dict[int, bytes]

    @property
    def layout(self) -> pack.Layout:
        return self.writer.layout

    def __enter__(self) -> Building:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.__exit__(kind, error, trace)

    def is_missing(self, start: int, stop: int) -> bool:
        """Whether any shard of these rows is not on the disk yet."""
        return any(shard not in self.hashes for shard in self._shards(start, stop))

    def write(
        self, start: int, features: npt.NDArray[np.float32], valid_N: npt.NDArray[np.bool_]
    ) -> None:
        """Put rows ``start`` and following [N, ...row] into the file; invalid ones are zero."""
        features[~valid_N] = 0
        self.writer.write(start, features, valid_N)

    def finish(self, start: int, stop: int, leases: Leases) -> None:
        """Flush the shards of these rows to the disk and record them. Raises LeaseLost."""
        for shard in self._shards(start, stop):
            if shard not in self.hashes:
                digest = self.writer.finish_shard(shard)
                leases.record_shard(self.planned.job, shard, digest)
                self.hashes[shard] = digest

    def _shards(self, start: int, stop: int) -> range:
        size = self.layout.shard_rows
        return range(start // size, -(-stop // size))

    def verify(self) -> list[bytes]:
        """All shard hashes, each computed again from the file. Raises CorruptData."""
        for shard in range(self.layout.shards):
            if self.writer.hash_shard(shard) != self.hashes.get(shard):
                raise CorruptData(
                    f"shard {shard} of {self.planned.pack_id} is not what was written",
                    value=shard,
                    remedy="check the disk, then submit the pair again",
                )
        return [self.hashes[shard] for shard in range(self.layout.shards)]

    def invalid_rows(self) -> list[int]:
        """Rows whose image could not be decoded, over all attempts."""
        return self.writer.invalid_rows()


def open_building(
    store: Store,
    leases: Leases,
    plan: Plan,
    planned: PlannedPack,
    manifest: Manifest,
    row_shape: tuple[int, ...],
) -> Building:
    """Go on with what an earlier attempt left, or begin. Raises LeaseLost."""
    path = store.building(planned.pack_id)
    if store.pack(planned.pack_id).exists():
        # Its name was given, but the worker died before the catalogue knew: take it back.
        store.pack(planned.pack_id).chmod(0o644)
        os.replace(store.pack(planned.pack_id), path)
    recorded = leases.recorded_shards(planned.job)
    dtype = planned.recipe.numerics.stored
    try:
        layout = pack.read_layout(path)
        fits = (layout.rows, layout.row_shape, layout.dtype) == (
            len(manifest),
            row_shape,
            np.dtype(dtype),
        )
    except (FileNotFoundError, CorruptData):
        fits = False
    if not fits:
        leases.forget_shards(planned.job)
        recorded = {}
        path.unlink(missing_ok=True)
        pack.create(
            path,
            manifest,
            recipe=planned.recipe.as_dict(),
            dataset=plan.dataset | {"dataset_id": plan.dataset_id},
            row_shape=row_shape,
            dtype=dtype,
        )
    writer = PackWriter(path)
    sound = {
        shard: digest for shard, digest in recorded.items() if writer.hash_shard(shard) == digest
    }
    if len(sound) < len(recorded):
        leases.forget_shards(planned.job)
        for shard, digest in sound.items():
            leases.record_shard(planned.job, shard, digest)
    return Building(planned, writer, sound)
