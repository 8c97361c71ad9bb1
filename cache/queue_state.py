"""How full the queue is, by kind of job, in one statement that reads no JSON."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cache.tables import ACTIVE_STATES, jobs


@dataclass(frozen=True)
class KindState:
    """Jobs of one kind that have not ended.

    ``due`` may be claimed now, ``paused`` after a passing fault some time later, ``waiting`` when
    another job has ended. ``oldest_seconds`` is for how long the first of the due ones could have
    been claimed; 0 where none is due.
    """

    kind: str
    due: int
    paused: int
    waiting: int
    running: int
    oldest_seconds: float


def queue_state(connection: sa.Connection, now: float) -> list[KindState]:
    """Of the kinds that there are such jobs of; ``now`` is the database's time."""
    is_waiting = jobs.c.waits_for.is_not(None)
    is_due = sa.and_(sa.not_(is_waiting), jobs.c.due <= now)  # as a claim sees it
    is_later = sa.and_(sa.not_(is_waiting), jobs.c.due > now)

    def number(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return sa.func.sum(sa.case((condition, 1), else_=0))

    query = sa.select(
        jobs.c.kind,
        number(is_due).label("due"),
        number(sa.and_(is_later, jobs.c.state == "queued")).label("paused"),
        number(is_waiting).label("waiting"),
        number(sa.and_(is_later, jobs.c.state == "running")).label("running"),
        sa.func.max(sa.case((is_due, now - jobs.c.due), else_=0.0)).label("oldest_seconds"),
    )
    active = query.where(jobs.c.state.in_(ACTIVE_STATES)).group_by(jobs.c.kind)
    return [KindState(**row._mapping) for row in connection.execute(active)]
