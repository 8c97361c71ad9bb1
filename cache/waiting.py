"""Head jobs that wait for the job that builds their pack (docs/decisions/0018).

They are queued with the key of that job in ``waits_for``, and no worker claims them. Whatever ends
that job settles them in the same transaction: the pack and the work on it become visible together.
A job that waits is inserted while the row of the other is locked, and is settled under the same
lock, so that none is left behind.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from cache.database import Database
from cache.errors import Conflict, FeaturepackError, from_dict
from cache.head_ids import head_id_of
from cache.tables import ACTIVE_STATES, jobs


def is_awaited(connection: sa.Connection, key: str) -> bool:
    """Whether a job of this key is active; it cannot end before this transaction does."""
    active = sa.select(jobs.c.id).where(jobs.c.key == key, jobs.c.state.in_(ACTIVE_STATES))
    return connection.execute(active.with_for_update()).first() is not None


def release(connection: sa.Connection, database: Database, key: str, etag: str) -> None:
    """The pack is there, its file's hash is ``etag``: those who wait for it may be claimed."""
    for job_id, spec in _waiting(connection, key):
        named = spec | {"etag": etag, "head_id": head_id_of(spec, etag)}
        _settle(connection, job_id, waits_for=None, due=database.now, spec=named)


def give_up(
    connection: sa.Connection, database: Database, key: str, error: dict[str, Any] | None
) -> None:
    """The job has failed with ``error``, or was cancelled (None): those who wait for it fail."""
    for job_id, spec in _waiting(connection, key):
        failure = _failure(spec["pack_id"], error).as_dict()
        _settle(connection, job_id, state="failed", finished=database.now, error=failure)


def _failure(pack_id: str, error: dict[str, Any] | None) -> FeaturepackError:
    if error is None:
        return Conflict(
            f"the job that builds pack {pack_id} was cancelled",
            value=pack_id,
            remedy="submit the study or the pair again",
        )
    cause = from_dict(error)
    return type(cause)(
        f"pack {pack_id} was not built: {cause.message}", value=cause.value, remedy=cause.remedy
    )


def _waiting(connection: sa.Connection, key: str) -> list[tuple[str, dict[str, Any]]]:
    query = sa.select(jobs.c.id, jobs.c.spec).where(
        jobs.c.waits_for == key, jobs.c.state == "queued"
    )
    rows = connection.execute(query.order_by(jobs.c.id).with_for_update()).all()
    return [(row.id, row.spec) for row in rows]


def _settle(connection: sa.Connection, job_id: str, **values: Any) -> None:
    connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(values))
