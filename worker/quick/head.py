"""``head``: train a head on a pack, keep it and what is known of it."""

from __future__ import annotations

from typing import Any

from cache.atomic import replacing
from cache.head_ids import head_id_of, kept_params
from cache.job import Job
from cache.publish import open_sound_pack, publish_head
from cache.rows import HeadRow
from cache.sight import EVERYTHING
from worker.context import Context
from worker.heads.file import save
from worker.heads.method import Run
from worker.heads.training import splits_of, train_and_score
from worker.lease import Lease


def train_head(context: Context, job: Job, lease: Lease) -> None:
    """Train, holding the pack's file so that it is not evicted.

    Raises:
        NotFound: the pack is gone.
        Conflict: it is quarantined, perhaps just now.
        InvalidRequest: there is nothing to train on.
        TooLarge: the method cannot take so many rows.
    """
    spec = job.spec

    def tell(progress: dict[str, Any]) -> None:
        lease.check()
        lease.progress(progress)

    row = context.catalogue.find_sound_pack(spec["pack_id"], EVERYTHING)
    _, pack = open_sound_pack(context.catalogue, context.store, row)
    with context.store.reading(row.pack_id):
        train, validation = splits_of(pack, spec["train"], spec["validation"], spec.get("subset"))
        run = Run(context.devices[0], tell, validation)
        head, metrics = train_and_score(spec["method"], spec["params"], train, validation, run)
    # Without a name where the pack was published just before the job was to wait for it.
    head_id = spec.get("head_id") or head_id_of(spec, row.etag)
    with replacing(context.store.head(head_id)) as beside:
        save(beside, head)
    kept = HeadRow(
        head_id=head_id,
        pack_id=spec["pack_id"],
        method=spec["method"],
        params=kept_params(spec),
        metrics=metrics,
    )
    publish_head(context.leases, context.catalogue, job, kept)
