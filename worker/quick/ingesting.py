"""``ingest``: a source of images becomes a version of a named dataset."""

from __future__ import annotations

from functools import partial

from cache.job import Job
from cache.publish import publish_dataset
from cache.rows import DatasetRow
from worker.apart import ingest_apart
from worker.context import Context
from worker.ingest import IngestLimits, ingest
from worker.lease import Lease


def ingest_dataset(context: Context, job: Job, lease: Lease) -> None:
    """Take the images in, list them in a manifest, publish the version.

    Raises:
        InvalidRequest, NotFound, TooLarge, CorruptData, Unavailable: as the source is.
        StorageFull: the team may not store so much.
    """

    def tell(images: int) -> None:
        lease.check()
        lease.progress({"phase": "reading images", "rows_done": images})

    source, uploads = job.spec["source"], job.spec["uploads"]
    opened = source | ({"files": uploads} if uploads else {})
    # The upload limit is about strangers' files; a folder or a public set may be larger.
    fit = partial(context.quotas.must_store, job.team)
    if uploads:
        limits = IngestLimits(job.spec["max_bytes"])
        manifest = ingest_apart(opened, context.store, limits, tell, fit, space=job.space)
    else:
        limits = IngestLimits()
        manifest = ingest(opened, context.store, limits, tell, fit, space=job.space)
    row = DatasetRow(
        name=job.spec["name"],
        version=0,
        dataset_id=manifest.dataset_id,
        source=source | ({"files": [file["name"] for file in uploads]} if uploads else {}),
        classes=list(manifest.classes),
        splits={name: list(span) for name, span in manifest.splits.items()},
        rows=len(manifest),
        bytes=int(manifest.size_N.sum()),
    )
    publish_dataset(context.leases, context.catalogue, job, row)
