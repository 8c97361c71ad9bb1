"""A pack while it is being built: one attempt's file in its folder, and what is in it.

``building/<pack_id>/<job>-<attempt>.h5``: each attempt has a name of its own, so that an earlier
one, should it wake up late, neither finds nor changes the file of its successor.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
import numpy.typing as npt

from cache import pack
from cache.atomic import fsync_path
from cache.errors import CorruptData, Unavailable
from cache.leases import Leases, Shard
from cache.pack_writer import Mask, PackWriter, Rows
from cache.reuse import Known, written_rows
from worker.plan import PlannedPack

SEAL_BYTES = 1 << 20
"""Room on the disk that sealing must find: an HDF5 file must not run out of it half-way."""


@dataclass
class Building:
    """One pack of a plan, open for rows.

    ``recorded`` are the shards that the database knows, ``finished`` those whose rows are all
    there and that it does not know yet. ``copied_N`` are rows that this attempt took from
    elsewhere, ``copied_before_N`` those of shards that an earlier one copied, at least in part,
    ``needed_N`` those that it has the network compute.
    """

    planned: PlannedPack
    writer: PackWriter
    known: Known
    recorded: dict[int, Shard]
    finished: list[Shard] = field(default_factory=list)
    copied_N: Mask = field(init=False)
    needed_N: Mask = field(init=False)
    copied_before_N: Mask = field(init=False)
    resumed: int = field(init=False)

    def __post_init__(self) -> None:
        self.copied_N = np.zeros(self.layout.rows, bool)
        self.needed_N = np.zeros(self.layout.rows, bool)
        self.resumed = int(self.written_N().sum())
        before = [one.shard for one in self.recorded.values() if one.copied]
        self.copied_before_N = written_rows(self.layout.rows, self.layout.shard_rows, before)

    @property
    def layout(self) -> pack.Layout:
        return self.writer.layout

    @property
    def rows_copied(self) -> int:
        """Rows that were taken from elsewhere, by all attempts, of finished shards."""
        return sum(shard.copied for shard in (*self.recorded.values(), *self.finished))

    def __enter__(self) -> Building:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.close()

    def written_N(self) -> Mask:
        """Rows of the shards that were finished before or by now."""
        shards = [*self.recorded, *(one.shard for one in self.finished)]
        return written_rows(self.layout.rows, self.layout.shard_rows, shards)

    def sources_used(self) -> dict[str, int]:
        """The packs that rows were copied from, by this attempt or an earlier one, and how many."""
        copied_N = self.copied_N | self.copied_before_N
        counts = {one.pack_id: int(copied_N[one.here_R].sum()) for one in self.known.sources}
        return {pack_id: rows for pack_id, rows in counts.items() if rows}

    def need(self) -> Mask:
        """The rows that only the network can give, now that what is known was copied [N]."""
        self.needed_N = ~(self.written_N() | self.copied_N | self.known.repeated_N)
        return self.needed_N

    def copy(self, row_N: Rows, features: npt.NDArray[np.generic], valid_N: Mask) -> None:
        """Put rows [N, ...row] of another pack into the file; ``row_N`` ascends."""
        self.writer.write(row_N, features, valid_N)
        self.copied_N[row_N] = True

    def finish(self, start: int, stop: int) -> None:
        """Fill in the repeats among these rows; their shards are complete."""
        size = self.layout.shard_rows
        for shard in range(start // size, -(-stop // size)):
            if shard in self.recorded:
                continue
            first, last = self.layout.shard_span(shard)
            self._repeat(np.arange(first, last))
            copied = int(self.copied_N[first:last].sum())
            self.finished.append(Shard(shard, self.writer.digest(shard), copied))

    def _repeat(self, row_N: Rows) -> None:
        """Rows of the same image as an earlier row get what that one got."""
        row_N = row_N[self.known.repeated_N[row_N]]
        if len(row_N):
            first_N = self.known.first_N[row_N]
            valid_N = self.writer.read_valid(first_N)
            self.copy(row_N, self.writer.read_rows(first_N), valid_N)

    def record(self, leases: Leases) -> None:
        """Flush what is finished to the disk, then tell the database.

        Raises:
            LeaseLost: another worker owns the job now.
            Unavailable: the database does not answer; call again.
        """
        if self.finished:
            self.writer.flush()
            leases.record_shards(self.planned.job, self.finished)
            self.recorded |= {one.shard: one for one in self.finished}
            self.finished.clear()

    def verify(self) -> list[bytes]:
        """All shard hashes, each computed again from the file. Raises CorruptData."""
        digests = [self.recorded[shard].digest for shard in range(self.layout.shards)]
        for shard, expected in enumerate(digests):
            if self.writer.digest(shard) != expected:
                raise CorruptData(
                    f"shard {shard} of {self.planned.pack_id} is not what was written",
                    value=shard,
                    remedy="check the disk, then submit the pair again",
                )
        return [digest[: len(digest) // 2] for digest in digests]

    def invalid_rows(self) -> list[int]:
        """Rows whose image could not be decoded."""
        return [
            int(row) for row in np.flatnonzero(~self.writer.read_valid(np.arange(self.layout.rows)))
        ]

    def seal(self, hashes: Sequence[bytes], provenance: dict[str, object]) -> None:
        """Complete the file and end writing to it. Raises Unavailable if the disk is full."""
        if shutil.disk_usage(self.writer.path).free < SEAL_BYTES:
            raise Unavailable(
                "the disk is full: there is no room to complete the pack",
                value=self.planned.pack_id,
                remedy="make space; the job goes on by itself",
            )
        pack.seal(self.writer.path, list(hashes), provenance)
        fsync_path(self.writer.path)  # here, because publishing must not keep the database waiting
        self.writer.close()

    def discard(self) -> None:
        """Remove this attempt's file, and the folder if nothing else is in it."""
        self.finished.clear()
        self.writer.path.unlink(missing_ok=True)
        self.remove_folder()

    def remove_folder(self) -> None:
        with suppress(OSError):  # another attempt's file is in it
            self.writer.path.parent.rmdir()


def write_needed(
    writer: PackWriter,
    needed_N: Mask,
    row_N: Rows,
    features: npt.NDArray[np.float32],
    valid_N: Mask,
) -> None:
    """Put those rows into a pack's file that it needs computed; invalid ones are zero.

    Other packs of the pass may need rows that this one has.
    """
    features[~valid_N] = 0
    mine = needed_N[row_N]
    writer.write(row_N[mine], features[mine], valid_N[mine])
