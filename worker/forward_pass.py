"""The rows of packs that share one forward pass: copied where they are known, else computed.

Shapes: N rows of a batch or of the dataset.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from functools import partial
from math import prod

import numpy as np

from cache import networks
from cache.dataset import Manifest
from cache.errors import CorruptData, FeaturepackError, LeaseLost, Unavailable
from cache.jobs import Jobs
from cache.pack_writer import Rows
from cache.reuse import find_known
from cache.rows import PackRow
from cache.sight import EVERYTHING, Sight
from worker.building import Building
from worker.certificate import BeyondBound
from worker.context import Context
from worker.copying import copy_known
from worker.engines import EngineTask, replaceable
from worker.feature_shapes import feature_shape
from worker.lease import Lease
from worker.opening import open_building
from worker.pixels.image_reader import ImageReader
from worker.plan import Plan, PlannedPack
from worker.sharing import Loaded, Target, Work, compute
from worker.spans import Missing, Span, missing_spans
from worker.tally import Done, Tally

RECORD_SECONDS = 0.2
"""Finished shards are flushed and recorded at most this often; so much work a crash may cost."""

MEASURED_ROWS = 64
"""A rate measured over fewer rows says nothing."""

EXTRA_ROW_BYTES = 128
"""What a pack has of a row besides its features: hash, label, id and index."""

EXTRA_PACK_BYTES = 16 << 10
"""Its attributes, and what is lost between its parts."""


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
    engine: Loaded | None = None
    recorded: float = 0.0

    def __post_init__(self) -> None:
        self.tally = Tally(rows_total=len(self.manifest))

    @property
    def task(self) -> EngineTask:
        recipe = self.plan.recipe
        compute, rows = recipe.numerics.compute, len(self.manifest)
        layers = tuple(self.plan.layers)
        return EngineTask(recipe.network, layers, recipe.transform, compute, rows)

    def refuse_engine(self, error: BeyondBound) -> FeaturepackError:
        """What to raise because the certificate failed: unless plain eager mode computed it, an
        engine is to blame, and the job is done again with another one."""
        context = self.context
        if not self.engine or not replaceable(self.engine.name, context.devices[0]):
            return error
        name = self.engine.name
        context.engine_memory.refuse(self.task, context.threads, name)
        context.drop_engines()
        for pack in self.packs:
            pack.discard()
        return Unavailable(
            f"{name} does not compute {self.task.network} right: {error.message}",
            value=name,
            remedy="nothing is to be done: the job is done again with another engine",
        )

    def open(self, stack: ExitStack) -> None:
        """Look up what is known, and open each pack's file."""
        context, manifest = self.context, self.manifest
        for planned in self.plan.packs:
            seen = Sight(planned.job.space)
            rows = context.catalogue.relatives(planned.recipe.recipe_id, seen)
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
        """Raises StorageFull, TooLarge, Unavailable."""
        value_bytes = np.dtype(planned.recipe.numerics.stored).itemsize
        row_bytes = prod(row_shape) * value_bytes + EXTRA_ROW_BYTES
        needed = len(self.manifest) * row_bytes + EXTRA_PACK_BYTES
        self.context.make_room(planned.job, planned.pack_id, needed)

    def _row_shape(self, planned: PlannedPack) -> tuple[int, ...]:
        """As the networks' catalogue says; where the input is of another size, as a run shows."""
        tap, info = planned.recipe.tap, networks.get(planned.recipe.network)
        if planned.recipe.transform.output_HW == info.input_size:
            return info.feature_shape(tap.layer, tap.pool)
        return feature_shape(info.name, tap, planned.recipe.transform.output_HW)

    def copy(self) -> None:
        """Take over the rows that other packs have."""

        def tell(rows: int) -> None:
            self.lease.check()
            self.context.database.counts.add("rows_copied", self.plan.recipe.network, rows)
            if pack is self.packs[0]:
                self.tally.rows_copied += rows
            self.lease.progress(self.tally.progress("copying"))

        for pack in self.packs:
            for pack_id, damage in copy_known(pack, self.context.store, tell):
                self.context.quarantine(pack_id, damage)

    def compute(self) -> None:
        """Compute and write the missing rows; finish each span once all its rows are there."""
        needed_N = np.logical_or.reduce([pack.need() for pack in self.packs])
        row_R, spans = np.flatnonzero(needed_N), missing_spans(self.packs)
        self.tally.begin(len(row_R))
        missing = Missing(row_R)
        self._finish(spans, missing.first)
        if len(row_R):
            try:
                with closing(self._written(row_R)) as found:
                    for done in found:
                        self._refuse_broken(done.broken)
                        self.tally.add(done)
                        self._count(done)
                        self.lease.check()
                        self._finish(spans, missing.without(done.row_N))
                        self.lease.progress(self.tally.progress("extracting"))
            except Exception:
                self.context.kept_engine.drop()  # nobody knows what state it is in
                raise
        self.lease.insist(self._record)
        self.tally.end()
        self._keep_rate()

    def _count(self, done: Done) -> None:
        """Each row once for every pack that needed it."""
        rows = sum(int(pack.needed_N[done.row_N].sum()) for pack in self.packs)
        self.context.database.counts.add("rows_computed", self.plan.recipe.network, rows)

    def _written(self, row_R: Rows) -> Generator[Done]:
        """Rows as they are computed and in the files: here, or by the devices' processes."""
        work = self._work(row_R)
        if self.context.helpers:
            for pack in self.packs:
                pack.writer.share()
            events = self.context.helpers.compute(work, self.lease.check, self._tell)
        else:
            writers = [pack.writer for pack in self.packs]
            events = compute(self.context, work, self.reader, writers, [row_R], self._tell)
        with closing(events):
            for event in events:
                if isinstance(event, Loaded):
                    self.engine = event
                    self.tally.begin(len(row_R))  # loading it is not what a rate is about
                else:
                    yield event

    def _work(self, row_R: Rows) -> Work:
        """All that a process must know to do some of these rows."""
        targets = [
            Target(pack.writer.path, pack.planned.recipe.tap, pack.needed_N) for pack in self.packs
        ]
        return Work(self.plan.dataset_id, self.plan.recipe, self.task, tuple(targets), row_R)

    def _tell(self, phase: str) -> None:
        self.lease.progress(self.tally.progress(phase), now=True)

    def _refuse_broken(self, broken: dict[int, FeaturepackError]) -> None:
        if broken and self._must_fail():
            row, error = min(broken.items(), key=lambda item: item[0])
            raise CorruptData(
                f"the image {self.manifest.row_id_N[row]!r} cannot be decoded: {error.message}",
                value=self.manifest.row_id_N[row],
                remedy="repair or remove it, or submit with on_error 'mask'",
            )

    def _must_fail(self) -> bool:
        """Whether broken images fail the jobs: not if somebody joined one who masks them."""
        if self.plan.on_error == "mask":
            return False
        get = partial(Jobs(self.context.database).get, sight=EVERYTHING)
        now = [self.lease.insist(partial(get, one.job.id)) for one in self.plan.packs]
        return all(job.spec["on_error"] == "fail" for job in now)

    def _finish(self, spans: deque[Span], next_row: int) -> None:
        """Finish the spans that end before the next row to come."""
        with self.tally.waiting("write"):
            while spans and spans[0][1] <= next_row:
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
            space, machine = self.manifest.space, self.context.machine
            self.context.rates.keep(space, machine, self.plan.recipe, rate)
