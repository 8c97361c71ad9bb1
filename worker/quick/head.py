"""``head``: train a head on a pack, keep its weights and what training showed."""

from __future__ import annotations

import numpy as np

from cache.atomic import replacing
from cache.errors import NotFound
from cache.jobs import Job
from cache.pack import Pack, open_pack
from cache.publish import publish_head
from cache.rows import HeadRow
from worker.context import Context
from worker.heads import LabParams, train_lab
from worker.lease import Lease


def train_head(context: Context, job: Job, lease: Lease) -> None:
    """Raises NotFound (the pack is gone), InvalidRequest (nothing to train on)."""
    spec = job.spec
    params = LabParams(**spec["params"])

    def tell(epoch: int) -> None:
        lease.check()
        lease.progress({"phase": "training", "epoch": epoch, "epochs": params.epochs})

    pack = open_existing(context, spec["pack_id"])
    head = train_lab(pack, spec["train"], spec["validation"], params, tell)
    with replacing(context.store.head(spec["head_id"])) as beside, beside.open("wb") as file:
        np.savez(file, weight=head.weight_DK, bias=head.bias_K, classes=np.array(pack.classes, str))
    row = HeadRow(
        head_id=spec["head_id"],
        pack_id=spec["pack_id"],
        method=spec["method"],
        params=spec["params"] | {"train": spec["train"], "validation": spec["validation"]},
        metrics=head.metrics,
    )
    publish_head(context.leases, context.catalogue, job, row)


def open_existing(context: Context, pack_id: str) -> Pack:
    """Raises NotFound."""
    try:
        return open_pack(context.store.pack(pack_id))
    except FileNotFoundError as error:
        raise NotFound(
            f"no pack {pack_id!r}", value=pack_id, remedy="submit the pair again"
        ) from error
