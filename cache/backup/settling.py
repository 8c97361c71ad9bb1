"""What rows of another time and store become when they are restored."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cache.attempts import ended
from cache.database import Database
from cache.tables import jobs, metadata, shards, stores, workers


def settle(connection: sa.Connection, database: Database, identity: str) -> None:
    """Bind the rows to the store of this ``identity``, and let work begin again.

    No worker of then is here, and nothing of unfinished packs is in a backup: what was running is
    queued again and begins anew, with the next higher attempt.
    """
    for table in (workers, shards, stores):
        connection.execute(sa.delete(table))
    connection.execute(sa.insert(stores).values(store_id=identity))
    now = float(connection.execute(sa.select(database.now)).scalar_one())
    running = sa.select(jobs.c.id, jobs.c.attempts).where(jobs.c.state == "running")
    for job_id, attempts in connection.execute(running).all():
        values: dict[str, Any] = {"attempts": ended(attempts, "lost", now)}
        values |= {"state": "queued", "worker": None, "due": now, "progress": {}}
        connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
    if not database.is_sqlite:
        _continue_sequences(connection)


def _continue_sequences(connection: sa.Connection) -> None:
    """Numbers that PostgreSQL gives out go on behind those that were restored."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None:
            sequence = sa.func.pg_get_serial_sequence(table.name, column.name)
            highest = sa.select(sa.func.max(column)).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, highest)))
