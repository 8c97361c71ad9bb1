"""One forward pass: the images of a dataset version → packs.

    plan → open the packs → compute what is missing, span by span → certify → seal → publish

Shapes: N rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
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
    engine = make_engine(
        context.build_network(plan.recipe, plan.layers),
        plan.recipe.numerics.compute,
        context.device,
    )
    with ExitStack() as stack:
        reader = stack.enter_context(ImageReader(manifest, context.store))
        packs = [stack.enter_context(pack) for pack in _open(context, plan, manifest, engine)]
        tally = Tally(rows_total=len(manifest))
        try:
            _compute(context, plan, manifest, reader, engine, packs, lease, tally)
            _publish(context, plan, manifest, reader, engine, packs, lease, tally)
        except (LeaseLost, Unavailable, Stopping):
            raise  # the rows that are written stay, for whoever goes on with them
        except BaseException:
            for pack in packs:
                pack.discard()
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


def _compute(
    context: Context,
    plan: Plan,
    manifest: Manifest,
    reader: ImageReader,
    engine: Engine,
    packs: Sequence[Building],
    lease: Lease,
    tally: Tally,
) -> None:
    """Compute and write the missing rows; record each shard once its bytes are on the disk."""
    spans = missing_spans(packs)
    tally.rows_done = tally.rows_total - sum(stop - start for start, stop in spans)
    ends = {stop: start for start, stop in spans}
    ready = batches(
        reader, plan.recipe.transform, spans, size=engine.batch, threads=context.settings.threads
    )
    for batch in ready:
        lease.check()
        _refuse_broken(plan, manifest, batch)
        _run_batch(batch, engine, packs, lease, tally)
        if batch.stop in ends:
            with tally.timing("write"):
                for pack in packs:
                    pack.finish(ends[batch.stop], batch.stop, context.leases)
        lease.progress(tally.progress())


def missing_spans(packs: Sequence[Building]) -> list[Span]:
    """The runs of rows that some pack lacks.

    A span is the largest shard of the plan's packs; shard sizes are powers of two, so every
    pack's shards fit into it.
    """
    size = max(pack.layout.shard_rows for pack in packs)
    rows = packs[0].layout.rows
    spans = [(start, min(rows, start + size)) for start in range(0, rows, size)]
    return [span for span in spans if any(pack.is_missing(*span) for pack in packs)]


def _refuse_broken(plan: Plan, manifest: Manifest, batch: Batch) -> None:
    if batch.broken and plan.on_error == "fail":
        row, error = next(iter(batch.broken.items()))
        raise CorruptData(
            f"the image {manifest.row_id_N[row]!r} cannot be decoded: {error.message}",
            value=manifest.row_id_N[row],
            remedy="repair or remove it, or submit with on_error 'mask'",
        )


def _run_batch(
    batch: Batch, engine: Engine, packs: Sequence[Building], lease: Lease, tally: Tally
) -> None:
    with tally.timing("compute"):
        outputs = engine.run(batch.images_NCHW)
        features = [
            pool(outputs[tap.layer], tap.pool).cpu().numpy()
            for tap in (pack.planned.recipe.tap for pack in packs)
        ]
    lease.check()  # a worker that was frozen meanwhile must not write into another's file
    with tally.timing("write"):
        for pack, rows in zip(packs, features, strict=True):
            pack.write(batch.start, rows, batch.valid_N)
    tally.decode += batch.decode_seconds
    tally.invalid += len(batch.broken)
    tally.computed += len(batch.valid_N)
    tally.rows_done += len(batch.valid_N)


def _publish(
    context: Context,
    plan: Plan,
    manifest: Manifest,
    reader: ImageReader,
    engine: Engine,
    packs: Sequence[Building],
    lease: Lease,
    tally: Tally,
) -> None:
    """Certify and seal every pack; give it its name in the transaction that ends its job."""
    lease.progress(tally.progress() | {"phase": "certifying"}, now=True)
    invalid = packs[0].invalid_rows()
    network = context.build_network(plan.recipe, plan.layers)
    certificates = certify(packs, manifest, reader, network, invalid)
    for pack in packs:
        lease.check()
        job = pack.planned.job
        if job.id in lease.cancelled:
            pack.discard()
            context.leases.end_cancelled(job)
            lease.release(job)
            continue
        facts = provenance(context, engine, tally) | {
            "certificate": certificates[pack.planned.pack_id]
        }
        seal(pack.writer.path, pack.verify(), facts)
        lease.release(job)
        row = _catalogue_row(plan, manifest, pack, invalid, facts)
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
