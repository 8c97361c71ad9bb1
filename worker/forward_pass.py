"""The rows of packs that share one forward pass: copied where they are known, else computed.

Shapes: N rows of a batch or of the dataset.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from math import prod

import numpy as np
import torch

from cache import networks
from cache.dataset import Manifest
from cache.errors import CorruptData, LeaseLost, Unavailable
from cache.jobs import Jobs
from cache.pack_writer import Rows
from cache.reuse import find_known
from cache.rows import PackRow
from worker.building import Building
from worker.context import Context
from worker.copying import copy_known
from worker.engine import Engine, make_engine
from worker.image_reader import ImageReader
from worker.lease import Lease
from worker.networks import pool
from worker.opening import open_building
from worker.pipeline import Batch, batches
from worker.plan import Plan, PlannedPack
from worker.tally import Tally

RECORD_SECONDS = 0.5
"""Finished shards are flushed and recorded at most this often; so much work a crash may cost."""

MEASURED_ROWS = 64
"""A rate measured over fewer rows says nothing."""

EXTRA_ROW_BYTES = 128
"""What a pack has of a row besides its features: hash, label, id and index."""

EXTRA_PACK_BYTES = 16 << 10
"""Its attributes, and what is lost between its parts."""

Span = tuple[int, int]


def missing_spans(packs: Sequence[Building]) -> deque[Span]:
    """The runs of rows that are finished together and that some pack lacks.

    A span is the largest shard of the plan's packs; shard sizes are powers of two, so every
    pack's shards fit into it.
    """
    size = max(pack.layout.shard_rows for pack in packs)
    rows = packs[0].layout.rows
    lacking = ~np.logical_and.reduce([pack.written_N() for pack in packs])
    starts = range(0, rows, size)
    return deque(
        (start, min(rows, start + size)) for start in starts if lacking[start:][:size].any()
    )


@dataclass
class ForwardPass:
    """Everything that one pass works with."""

    context: Context
    plan: Plan
    manifest: Manifest
    reader: ImageReader
    lease: Lease
    packs: list[Building] = field(default_factory=list)
    relatives: dict[str, PackRow] = field(default_factory=dict)
    tally: Tally = field(init=False)
    recorded: float = 0.0

    def __post_init__(self) -> None:
        self.tally = Tally(rows_total=len(self.manifest))

    @cached_property
    def engine(self) -> Engine:
        """Loaded when it is needed: where all rows are known it never is."""
        self.lease.progress(self.tally.progress("loading weights"), now=True)
        network = self.context.build_network(self.plan.recipe, self.plan.layers)
        return make_engine(network, self.plan.recipe.numerics.compute, self.context.device)

    def open(self, stack: ExitStack) -> None:
        """Look up what is known, and open each pack's file."""
        context, manifest = self.context, self.manifest
        for planned in self.plan.packs:
            rows = context.catalogue.relatives(planned.recipe.recipe_id)
            self.relatives |= {row.pack_id: row for row in rows}
            shape = tuple(rows[0].row_shape) if rows else self._row_shape(planned)
            self._make_room(planned, shape)  # first: of what is evicted nothing is known
            with_invalid = self.plan.on_error == "mask"
            ids = [row.pack_id for row in rows]
            known = find_known(context.store, manifest, ids, invalid_too=with_invalid)
            pack = open_building(
                context.store, context.leases, self.plan, planned, manifest, shape, known
            )
            self.packs.append(stack.enter_context(pack))
        copied = min(pack.rows_copied for pack in self.packs)
        self.tally.resume(copied, min(pack.resumed for pack in self.packs) - copied)

    def _make_room(self, planned: PlannedPack, row_shape: tuple[int, ...]) -> None:
        """Raises TooLarge, Unavailable."""
        value_bytes = np.dtype(planned.recipe.numerics.stored).itemsize
        row_bytes = prod(row_shape) * value_bytes + EXTRA_ROW_BYTES
        self.context.make_room(planned.pack_id, len(self.manifest) * row_bytes + EXTRA_PACK_BYTES)

    def _row_shape(self, planned: PlannedPack) -> tuple[int, ...]:
        """As the networks' catalogue says; where the input is of another size, as a run shows."""
        tap, info = planned.recipe.tap, networks.get(planned.recipe.network)
        if planned.recipe.transform.output_HW == info.input_size:
            return info.feature_shape(tap.layer, tap.pool)
        return tuple(pool(self._outputs_of_zeros[tap.layer], tap.pool).shape[1:])

    @cached_property
    def _outputs_of_zeros(self) -> dict[str, torch.Tensor]:
        return self.engine.run(torch.zeros(1, 3, *self.plan.recipe.transform.output_HW))

    def copy(self) -> None:
        """Take over the rows that other packs have."""

        def tell(rows: int) -> None:
            self.lease.check()
            if pack is self.packs[0]:
                self.tally.rows_copied += rows
            self.lease.progress(self.tally.progress("copying"))

        for pack in self.packs:
            for pack_id, damage in copy_known(pack, self.context.store, tell):
                self.context.quarantine(pack_id, damage)

    def compute(self) -> None:
        """Compute and write the missing rows; finish each span once all its rows are there."""
        needed_N = np.logical_or.reduce([pack.need() for pack in self.packs])
        rows, spans = np.flatnonzero(needed_N), missing_spans(self.packs)
        self.tally.begin(len(rows))
        self._finish(spans, rows)
        if len(rows):
            for batch in batches(
                self.reader,
                self.plan.recipe.transform,
                rows,
                size=self.engine.batch,
                threads=self.context.settings.threads,
            ):
                self.lease.check()
                self._refuse_broken(batch)
                self._run(batch)
                self._finish(spans, rows[self.tally.computed :])
                self.lease.progress(self.tally.progress("extracting"))
        self.lease.insist(self._record)
        self._keep_rate()

    def _refuse_broken(self, batch: Batch) -> None:
        if batch.broken and self._must_fail():
            row, error = min(batch.broken.items(), key=lambda item: item[0])
            raise CorruptData(
                f"the image {self.manifest.row_id_N[row]!r} cannot be decoded: {error.message}",
                value=self.manifest.row_id_N[row],
                remedy="repair or remove it, or submit with on_error 'mask'",
            )

    def _must_fail(self) -> bool:
        """Whether broken images fail the jobs: not if somebody joined one who masks them."""
        if self.plan.on_error == "mask":
            return False
        jobs = Jobs(self.context.database)
        now = [self.lease.insist(partial(jobs.get, one.job.id)) for one in self.plan.packs]
        return all(job.spec["on_error"] == "fail" for job in now)

    def _run(self, batch: Batch) -> None:
        """Images → every pack's rows → the files."""
        with self.tally.timing("compute"):
            outputs = self.engine.run(batch.images_NCHW)
            taps = [pack.planned.recipe.tap for pack in self.packs]
            features = [pool(outputs[tap.layer], tap.pool).cpu().numpy() for tap in taps]
        self.lease.check()  # a worker that was frozen meanwhile has nothing to write any more
        with self.tally.timing("write"):
            for pack, rows in zip(self.packs, features, strict=True):
                pack.write(batch.row_N, rows, batch.valid_N)
        self.tally.add(batch)

    def _finish(self, spans: deque[Span], to_come: Rows) -> None:
        """Finish the spans that end before the next row to come."""
        with self.tally.timing("write"):
            while spans and (not len(to_come) or spans[0][1] <= to_come[0]):
                span = spans.popleft()
                for pack in self.packs:
                    pack.finish(*span)
                if time.monotonic() - self.recorded >= RECORD_SECONDS:
                    with suppress(Unavailable):  # later, as long as the lease can be proven
                        self._record()
                self.lease.check(between_shards=True)

    def _record(self) -> None:
        self.recorded = time.monotonic()
        for pack in self.packs:
            pack.record(self.context.leases)

    def record_what_is_left(self) -> None:
        """The pass ended, well or not: what is finished need not be done again."""
        with suppress(LeaseLost, Unavailable):
            self._record()

    def _keep_rate(self) -> None:
        """For estimates."""
        if self.tally.computed < MEASURED_ROWS:
            return
        rate = self.tally.rate
        with suppress(Unavailable):  # it is only a figure
            self.context.rates.keep(self.context.machine, self.plan.recipe, rate)
