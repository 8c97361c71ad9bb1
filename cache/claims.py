"""Whose turn it is: the jobs that a worker takes, and who pays for the time they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cache import attempts
from cache.database import Database
from cache.job import JOB_COLUMNS, Job, job_of
from cache.ledger import charge
from cache.shares import due_now, turn, used
from cache.tables import jobs

SUSPECT_DEATHS: Final = 3
"""Jobs that lost so many workers wait behind all others."""


@dataclass(frozen=True)
class Due:
    """A job as it is before it is taken: which team pays, and for which share of the time."""

    job: Job
    payer: str
    share: float


def due_together(connection: sa.Connection, database: Database, kinds: Sequence[str]) -> list[Due]:
    """The first job that is due, and those that can be done together with it; locked."""
    due = due_now(database, kinds)
    first = connection.execute(_first(database, kinds, due)).first()
    if first is None:
        return []
    mine = sa.or_(jobs.c.payer == first.pays, jobs.c.joiner == first.pays)
    itself = jobs.alias("first")
    together = sa.select(itself.c.together).where(itself.c.id == first.id)
    alike = sa.and_(jobs.c.together == together.scalar_subquery(), due, mine)
    query = sa.select(*JOB_COLUMNS).where(alike).order_by(jobs.c.created, jobs.c.id)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    found = sorted(map(job_of, rows), key=lambda job: job.id != first.id)
    return [Due(job, first.pays, 1 / len(found)) for job in found]


def _first(database: Database, kinds: Sequence[str], due: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Whose turn it is: the id of the job, and who pays."""
    whose = turn(used(database, kinds))
    suspect = sa.case((jobs.c.deaths >= SUSPECT_DEATHS, 1), else_=0)
    order = (*whose.order, jobs.c.priority.desc(), suspect, jobs.c.created, jobs.c.id)
    query = sa.select(jobs.c.id, whose.pays.label("pays")).select_from(whose.jobs)
    query = query.where(due).order_by(*order).limit(1)
    return query.with_for_update(skip_locked=True, of=jobs)


def take(
    connection: sa.Connection, database: Database, due: Due, worker: str, lease_seconds: float
) -> Job:
    """Give the job to the worker, as its next attempt."""
    job, now = due.job, database.time(connection)
    if job.state == "running":
        charge(connection, database, job.id)
    other = sa.case((jobs.c.payer == due.payer, jobs.c.joiner), else_=jobs.c.payer)
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == job.id)
        .values(
            state="running",
            attempt=job.attempt + 1,
            deaths=job.deaths + (job.state == "running"),
            due=now + lease_seconds,
            worker=worker,
            payer=due.payer,
            joiner=other,
            claimed=now,
            share=due.share,
            started=now if job.started is None else job.started,
            attempts=attempts.begun(job.attempts, job.attempt + 1, worker, now),
        )
    )
    return job_of(connection.execute(statement.returning(*JOB_COLUMNS)).one())
