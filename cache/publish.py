"""What a job made becomes visible in the same transaction that ends the job."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.jobs import Job
from cache.leases import Leases
from cache.rows import DatasetRow, HeadRow, PackRow, WeightsRow
from cache.store import Store


def publish_pack(
    leases: Leases, catalogue: Catalogue, store: Store, job: Job, row: PackRow
) -> None:
    """Give a sealed pack its final name and its row.

    The lease is proven first and held by the transaction. Should the process die after the rename
    and before the commit, the next attempt takes the file back into ``building/``.

    Raises:
        LeaseLost: another worker owns the job now; nothing was published.
    """

    def publish(connection: sa.Connection) -> dict[str, Any]:
        store.publish_pack(row.pack_id)
        catalogue.add_pack(connection, row)
        return {"pack_id": row.pack_id, "rows": row.rows, "rows_invalid": len(row.invalid_rows)}

    leases.finish(job, publish)


def publish_dataset(leases: Leases, catalogue: Catalogue, job: Job, row: DatasetRow) -> None:
    """Keep a dataset as the next version of its name. Raises LeaseLost."""

    def publish(connection: sa.Connection) -> dict[str, Any]:
        kept = catalogue.add_dataset(connection, row)
        return {"dataset": kept.name, "version": kept.version, "dataset_id": kept.dataset_id}

    leases.finish(job, publish)


def publish_head(leases: Leases, catalogue: Catalogue, job: Job, row: HeadRow) -> None:
    """Keep a head.

    Raises:
        LeaseLost: another worker owns the job now.
        NotFound: its pack was deleted meanwhile.
    """

    def publish(connection: sa.Connection) -> dict[str, Any]:
        catalogue.pack_in(connection, row.pack_id)
        catalogue.add_head(connection, row)
        return {"head_id": row.head_id}

    leases.finish(job, publish)


def publish_weights(leases: Leases, catalogue: Catalogue, job: Job, row: WeightsRow) -> None:
    """Keep a checkpoint. Raises LeaseLost."""

    def publish(connection: sa.Connection) -> dict[str, Any]:
        catalogue.add_weights(connection, row)
        return {"weights": f"sha256:{row.sha256}", "unavailable": row.unavailable}

    leases.finish(job, publish)
