"""What rows of another time and store become when they are restored."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cache.attempts import ended
from cache.database import Database
from cache.store import Store
from cache.tables import ACTIVE_STATES, jobs, metadata, shards, stores, workers


def settle(connection: sa.Connection, database: Database, store: Store) -> None:
    """Bind the rows to this store, and let work begin again.

    No worker of then is here, and nothing of unfinished packs is in a backup: what was running is
    queued again and begins anew, with the next higher attempt. Uploads that jobs wait to read are
    in this store now.
    """
    for table in (workers, shards, stores):
        connection.execute(sa.delete(table))
    connection.execute(sa.insert(stores).values(store_id=store.make_identity()))
    now = database.time(connection)
    active = sa.select(jobs).where(jobs.c.state.in_(ACTIVE_STATES))
    for job in connection.execute(active).all():
        values: dict[str, Any] = {"spec": _moved(job.spec, store)}
        if job.state == "running":
            values |= {"attempts": ended(job.attempts, "lost", now), "progress": {}}
            values |= {"state": "queued", "worker": None, "due": now}
        connection.execute(sa.update(jobs).where(jobs.c.id == job.id).values(values))
    if not database.is_sqlite:
        _continue_sequences(connection)


def _moved(spec: dict[str, Any], store: Store) -> dict[str, Any]:
    if "uploads" not in spec:
        return spec
    uploads = [one | {"path": str(store.incoming(one["path"]))} for one in spec["uploads"]]
    return spec | {"uploads": uploads}


def _continue_sequences(connection: sa.Connection) -> None:
    """Numbers that PostgreSQL gives out go on behind those that were restored."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            highest = sa.select(sa.func.max(column)).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, highest)))
