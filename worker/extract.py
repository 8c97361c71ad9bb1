"""One forward pass: the images of a dataset version → packs.

    plan → open the packs → compute what is missing, span by span → certify → seal → publish

Shapes: N rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch

from cache.dataset import Manifest
from cache.errors import CorruptData, LeaseLost, Unavailable
from cache.identity import hash_file
from cache.jobs import Job
from cache.pack import seal
from cache.publish import publish_pack
from cache.rows import PackRow
from worker.building import Building, open_building
from worker.certificate import certify
from worker.context import Context
from worker.engine import Engine, make_engine
from worker.image_reader import ImageReader
from worker.lease import Lease, Stopping
from worker.networks import pool
from worker.pipeline import Batch, batches
from worker.plan import Plan, plan_of
from worker.provenance import provenance
from worker.tally import Tally

Span = tuple[int, int]


def extract(context: Context, jobs: list[Job], lease: Lease) -> None:
    """Build and publish the packs of jobs that share one forward pass.

    Raises:
        CorruptData: an image, the weights or the result is not what it should be.
        InvalidRequest: the weights do not fit the network or a tap.
        LeaseLost, Cancelled, Stopping: see :mod:`worker.lease`.
    """
    plan = plan_of(jobs)
    manifest = context.store.load_manifest(plan.dataset_id)
    lease.progress({"phase": "loading weights", "rows_total": len(manifest)}, now=True)
    network = context.build_network(plan.recipe, plan.layers)
    engine = make_engine(network, plan.recipe.numerics.compute, context.device)
    try:
        with ExitStack() as stack:
            reader = stack.enter_context(ImageReader(manifest, context.store))
            packs = [stack.enter_context(pack) for pack in _open(context, plan, manifest, engine)]
            work = ForwardPass(context, plan, manifest, reader, engine, packs, lease)
            work.compute()
            work.publish()
    except (LeaseLost, Unavailable, Stopping):
        raise  # the rows that are written stay, for whoever goes on with them
    except BaseException:
        for planned in plan.packs:
            context.store.discard_building(planned.pack_id)
        raise


def _open(context: Context, plan: Plan, manifest: Manifest, engine: Engine) -> list[Building]:
    """Every pack of the plan; one run on zeros tells the shape of its rows."""
    outputs = engine.run(torch.zeros(1, 3, *plan.recipe.transform.output_HW))
    packs = []
    for planned in plan.packs:
        tap = planned.recipe.tap
        row_shape = tuple(pool(outputs[tap.layer], tap.pool).shape[1:])
        packs.append(
            open_building(context.store, context.leases, plan, planned, manifest, row_shape)
        )
    return packs


def missing_spans(packs: Sequence[Building]) -> list[Span]:
    """The runs of rows that some pack lacks.

    A span is the largest shard of the plan's packs; shard sizes are powers of two, so every
    pack's shards fit into it.
    """
    size = max(pack.layout.shard_rows for pack in packs)
    rows = packs[0].layout.rows
    spans = [(start, min(rows, start + size)) for start in range(0, rows, size)]
    return [span for span in spans if any(pack.is_missing(*span) for pack in packs)]


@dataclass
class ForwardPass:
    """Everything that one pass works with, once it is open."""

    context: Context
    plan: Plan
    manifest: Manifest
    reader: ImageReader
    engine: Engine
    packs: list[Building]
    lease: Lease
    tally: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.tally = Tally(rows_total=len(self.manifest))

    def compute(self) -> None:
        """Compute and write the missing rows; record each shard once its bytes are on the disk."""
        spans = missing_spans(self.packs)
        self.tally.rows_done = len(self.manifest) - sum(stop - start for start, stop in spans)
        ends = {stop: start for start, stop in spans}
        ready = batches(
            self.reader,
            self.plan.recipe.transform,
            spans,
            size=self.engine.batch,
            threads=self.context.settings.threads,
        )
        for batch in ready:
            self.lease.check()
            self._refuse_broken(batch)
            self._run(batch)
            if batch.stop in ends:
                self._finish((ends[batch.stop], batch.stop))
            self.lease.progress(self.tally.progress())

    def _refuse_broken(self, batch: Batch) -> None:
        if batch.broken and self.plan.on_error == "fail":
            row, error = next(iter(batch.broken.items()))
            raise CorruptData(
                f"the image {self.manifest.row_id_N[row]!r} cannot be decoded: {error.message}",
                value=self.manifest.row_id_N[row],
                remedy="repair or remove it, or submit with on_error 'mask'",
            )

    def _run(self, batch: Batch) -> None:
        """Images → every pack's rows → the files."""
        with self.tally.timing("compute"):
            outputs = self.engine.run(batch.images_NCHW)
            taps = [pack.planned.recipe.tap for pack in self.packs]
            features = [pool(outputs[tap.layer], tap.pool).cpu().numpy() for tap in taps]
        self.lease.check()  # a worker that was frozen meanwhile must not write into another's file
        with self.tally.timing("write"):
            for pack, rows in zip(self.packs, features, strict=True):
                pack.write(batch.start, rows, batch.valid_N)
        self.tally.add(batch)

    def _finish(self, span: Span) -> None:
        with self.tally.timing("write"):
            for pack in self.packs:
                pack.finish(*span, self.context.leases)

    def publish(self) -> None:
        """Certify and seal every pack; give it its name in the transaction that ends its job."""
        context, plan = self.context, self.plan
        self.lease.progress(self.tally.progress() | {"phase": "certifying"}, now=True)
        invalid = self.packs[0].invalid_rows()
        reference = context.build_network(plan.recipe, plan.layers)
        certificates = certify(self.packs, self.manifest, self.reader, reference, invalid)
        for pack in self.packs:
            self.lease.check()
            job = pack.planned.job
            if job.id in self.lease.cancelled:
                context.store.discard_building(pack.planned.pack_id)
                self.lease.release(job)
                context.leases.end_cancelled(job)
                continue
            certificate = certificates[pack.planned.pack_id]
            facts = provenance(context, self.engine, self.tally) | {"certificate": certificate}
            seal(pack.writer.path, pack.verify(), facts)
            row = _catalogue_row(plan, self.manifest, pack, invalid, facts)
            self.lease.release(job)
            publish_pack(context.leases, context.catalogue, context.store, job, row)


def _catalogue_row(
    plan: Plan, manifest: Manifest, pack: Building, invalid: list[int], facts: dict[str, Any]
) -> PackRow:
    recipe, path = pack.planned.recipe, pack.writer.path
    return PackRow(
        pack_id=pack.planned.pack_id,
        recipe_id=recipe.recipe_id,
        dataset_id=manifest.dataset_id,
        network=recipe.network,
        dataset=plan.dataset["name"],
        imported=False,
        recipe=recipe.as_dict(),
        dataset_info=plan.dataset,
        classes=list(manifest.classes),
        splits={name: list(span) for name, span in manifest.splits.items()},
        rows=len(manifest),
        row_shape=list(pack.layout.row_shape),
        dtype=recipe.numerics.stored,
        bytes=path.stat().st_size,
        etag=hash_file(path),
        invalid_rows=[manifest.row_id_N[row] for row in invalid],
        provenance=facts,
    )
