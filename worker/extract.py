"""One extraction: the images of a dataset version → packs.

plan → open the packs → copy the rows that are known → compute the others → certify → seal
→ publish
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import Any

from cache.dataset import Manifest
from cache.errors import FeaturepackError, LeaseLost, Unavailable
from cache.identity import hash_file
from cache.job import Job
from cache.publish import publish_pack
from cache.rows import PackRow
from worker.building import Building
from worker.certificate import BeyondBound, certificates
from worker.context import Context
from worker.forward_pass import ForwardPass
from worker.lease import Lease
from worker.pixels.image_reader import ImageReader
from worker.plan import Plan, plan_of
from worker.provenance import provenance


def extract(context: Context, jobs: list[Job], lease: Lease) -> None:
    """Build and publish the packs of jobs that share one forward pass.

    What is written stays for the next attempt, unless the error says that it cannot be good.

    Raises:
        CorruptData: an image, the weights or the result is not what it should be.
        InvalidRequest: the weights do not fit the network or a tap.
        StorageFull: the team may not store so much.
        TooLarge: the store's limit does not allow a pack of this size.
        Unavailable: a passing fault.
        LeaseLost, Cancelled, Stopping: see :mod:`worker.lease`.
    """
    plan = plan_of(jobs)
    manifest = context.store.load_manifest(plan.dataset_id)
    with ExitStack() as stack:
        reader = stack.enter_context(ImageReader(manifest, context.store))
        work = ForwardPass(context, plan, manifest, reader, lease)
        try:
            work.open(stack)
            work.copy()
            work.compute()
            _publish(work)
        except (LeaseLost, Unavailable):
            raise
        except FeaturepackError:
            for pack in work.packs:
                pack.discard()
            raise
        finally:
            work.record_what_is_left()


def _publish(work: ForwardPass) -> None:
    """Certify and seal every pack; give it its name in the transaction that ends its job."""
    context, lease = work.context, work.lease
    lease.progress(work.tally.progress("certifying"), now=True)
    proofs = _certified(work)
    for pack in work.packs:
        lease.check(between_shards=True)
        job = pack.planned.job
        if job.id in lease.cancelled:
            lease.end(job, partial(context.leases.end_cancelled, job))
            continue
        facts = _facts(work, pack) | {"certificate": proofs[pack.planned.pack_id]}
        invalid = pack.invalid_rows()
        pack.seal(pack.verify(), facts)
        row = _catalogue_row(work.plan, work.manifest, pack, invalid, facts)
        path = pack.writer.path
        where = context.leases, context.catalogue, context.store
        lease.end(job, partial(publish_pack, *where, job, row, path))
        pack.remove_folder()


def _certified(work: ForwardPass) -> dict[str, dict[str, Any]]:
    try:
        return certificates(
            work.packs,
            work.manifest,
            work.reader,
            lambda: work.context.build_network(work.plan.recipe, work.plan.layers),
            work.relatives,
            work.lease.check,
        )
    except BeyondBound as error:
        raise work.refuse_engine(error) from error


def _facts(work: ForwardPass, pack: Building) -> dict[str, Any]:
    return provenance(work.context, work.engine, work.tally) | {
        "rows_copied": pack.rows_copied,
        "rows_computed": len(work.manifest) - pack.rows_copied,
        "rows_resumed": pack.resumed,
        "copied_from": pack.sources_used(),
    }


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
