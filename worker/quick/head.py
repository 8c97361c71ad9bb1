"""``head``: train a head on a pack, keep its weights and what training showed."""

from __future__ import annotations

from cache.atomic import replacing
from cache.jobs import Job
from cache.publish import open_sound_pack, publish_head
from cache.rows import HeadRow
from worker.context import Context
from worker.heads.file import LinearHead, save
from worker.heads.lab import LabParams, train_lab
from worker.lease import Lease


def train_head(context: Context, job: Job, lease: Lease) -> None:
    """Train, holding the pack's file so that it is not evicted.

    Raises:
        NotFound: the pack is gone.
        Conflict: it is quarantined, perhaps just now.
        InvalidRequest: there is nothing to train on.
    """
    spec = job.spec
    params = LabParams(**spec["params"])

    def tell(epoch: int) -> None:
        lease.check()
        lease.progress({"phase": "training", "epoch": epoch, "epochs": params.epochs})

    row = context.catalogue.find_sound_pack(spec["pack_id"])
    _, pack = open_sound_pack(context.catalogue, context.store, row)
    with context.store.reading(row.pack_id):
        head = train_lab(pack, spec["train"], spec["validation"], params, tell)
    with replacing(context.store.head(spec["head_id"])) as beside:
        save(beside, LinearHead(head.weight_DK, head.bias_K, pack.classes))
    kept = HeadRow(
        head_id=spec["head_id"],
        pack_id=spec["pack_id"],
        method=spec["method"],
        params=spec["params"] | {"train": spec["train"], "validation": spec["validation"]},
        metrics=head.metrics,
    )
    publish_head(context.leases, context.catalogue, job, kept)
