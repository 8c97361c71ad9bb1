"""What a job made becomes visible in the same transaction that ends the job.

The reverse too: what is deleted or found damaged goes out of sight in one transaction. A file
leaves its place before the commit, so a crash between the two leaves a row without a file, which
nobody takes for a pack and a sweep clears, and never a file that comes back.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.errors import CorruptData, FeaturepackError
from cache.job import Job
from cache.leases import Leases
from cache.pack import Pack, open_pack
from cache.rows import DatasetRow, HeadRow, PackRow, WeightsRow
from cache.sight import EVERYTHING
from cache.store import Store
from cache.waiting import release


def publish_pack(
    leases: Leases, catalogue: Catalogue, store: Store, job: Job, row: PackRow, built: Path
) -> None:
    """Give a sealed pack, the file ``built``, its final name and its row; its heads may begin.

    The lease is proven first and held by the transaction. Should the process die after the rename
    and before the commit, the next attempt takes the file back into ``building/``.

    Raises:
        LeaseLost: another worker owns the job now; nothing was published.
    """

    def publish(connection: sa.Connection) -> dict[str, Any]:
        store.publish_pack(row.pack_id, built)
        owned = replace(row, space=job.space, team=job.team)
        saved.append(catalogue.add_pack(connection, owned))
        release(connection, catalogue.database, job.key, row.etag)
        counts = ("rows_copied", "rows_computed")
        return {
            "pack_id": row.pack_id,
            "rows": row.rows,
            "rows_invalid": len(row.invalid_rows),
        } | {name: row.provenance[name] for name in counts if name in row.provenance}

    saved: list[float] = []
    leases.finish(job, publish)
    catalogue.database.counts.add("seconds_saved", "reuse", sum(saved))
    store.delete_derived(row.pack_id)  # of a file before this one


def publish_dataset(leases: Leases, catalogue: Catalogue, job: Job, row: DatasetRow) -> None:
    """Keep a dataset as the next version of its name.

    Raises:
        LeaseLost: another worker owns the job now.
        Conflict: another team took the name meanwhile.
    """

    def publish(connection: sa.Connection) -> dict[str, Any]:
        mine = replace(row, space=job.space, team=job.team)
        kept = catalogue.add_dataset(connection, mine)
        return {"dataset": kept.name, "version": kept.version, "dataset_id": kept.dataset_id}

    leases.finish(job, publish)


def publish_head(leases: Leases, catalogue: Catalogue, job: Job, row: HeadRow) -> None:
    """Keep a head, with its pack's recipe.

    Raises:
        LeaseLost: another worker owns the job now.
        NotFound: its pack was deleted meanwhile.
    """

    def publish(connection: sa.Connection) -> dict[str, Any]:
        pack = catalogue.pack_in(connection, row.pack_id, EVERYTHING)
        kept = replace(row, recipe=pack.recipe, space=pack.space, team=job.team)
        catalogue.add_head(connection, kept)
        return {"head_id": row.head_id}

    leases.finish(job, publish)


def publish_weights(leases: Leases, catalogue: Catalogue, job: Job, row: WeightsRow) -> None:
    """Keep a checkpoint. Raises LeaseLost."""

    def publish(connection: sa.Connection) -> dict[str, Any]:
        catalogue.add_weights(connection, replace(row, team=job.team))
        return {"weights": f"sha256:{row.sha256}", "unavailable": row.unavailable}

    leases.finish(job, publish)


def quarantine(
    catalogue: Catalogue,
    store: Store,
    pack_id: str,
    error: FeaturepackError,
    etag: str | None = None,
) -> None:
    """Put a damaged pack aside: listed with its problem, never served, built anew when asked for.

    With ``etag``, only the file that was looked at is meant, and not one built since. Where there
    is no such sound pack, nothing happens.
    """
    with catalogue.database.write() as connection:
        quarantine_in(connection, catalogue, store, pack_id, error, etag)


def quarantine_in(
    connection: sa.Connection,
    catalogue: Catalogue,
    store: Store,
    pack_id: str,
    error: FeaturepackError,
    etag: str | None = None,
) -> None:
    """As :func:`quarantine`, within a transaction that does more."""
    if catalogue.mark_damaged(connection, pack_id, error, etag):
        store.quarantine_pack(pack_id)


def open_sound_pack(catalogue: Catalogue, store: Store, row: PackRow) -> tuple[PackRow, Pack]:
    """The pack's row and open file; the row is newer where it was built anew meanwhile.

    A pack whose file is damaged or gone is quarantined.

    Raises:
        NotFound: no such pack any more.
        Conflict: it is quarantined, perhaps just now.
        Unavailable: the file cannot be read just now, or the store is gone.
    """
    while True:
        try:
            return row, open_pack(store.pack(row.pack_id))
        except FileNotFoundError:
            store.holds_pack(row.pack_id, row.bytes)  # Unavailable where the whole store is gone
            error = CorruptData(
                f"the file of pack {row.pack_id} is gone",
                value=row.pack_id,
                remedy="submit the pair again",
            )
        except CorruptData as found:
            error = found
        quarantine(catalogue, store, row.pack_id, error, row.etag)
        row = catalogue.find_sound_pack(row.pack_id, EVERYTHING)


def delete_pack(catalogue: Catalogue, store: Store, pack_id: str) -> None:
    """Delete a pack and its heads. Raises NotFound."""
    with catalogue.database.write() as connection:
        head_ids = catalogue.forget_pack(connection, pack_id)
        hidden = store.hide_pack(pack_id)
    if hidden is not None:
        hidden.unlink(missing_ok=True)
    store.quarantined(pack_id).unlink(missing_ok=True)
    store.delete_derived(pack_id)
    for head_id in head_ids:
        store.delete_head(head_id)
