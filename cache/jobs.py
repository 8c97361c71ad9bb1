"""The queue as the service sees it: submit, look, cancel.

A job is ``queued → running → succeeded | failed | cancelled``. What a worker does with it is in
:mod:`cache.leases`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from cache.database import ACTIVE_STATES, Database, jobs
from cache.errors import Conflict, NotFound, Unavailable
from cache.pages import Page, page_of

FINAL_STATES: Final = ("succeeded", "failed", "cancelled")

TRIES: Final = 10

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class NewJob:
    """What to do. Two active jobs never share a ``key``: the second submission joins the first.

    Jobs with the same non-empty ``together`` may be claimed at once and done in one go.
    """

    kind: str
    key: str
    spec: dict[str, Any]
    together: str = ""
    priority: int = 0


@dataclass(frozen=True)
class Job:
    """A row of the queue. Times are seconds since 1970; ``error`` is an error's ``as_dict``."""

    id: str
    kind: str
    key: str
    together: str
    spec: dict[str, Any]
    state: str
    priority: int
    attempt: int
    deaths: int
    worker: str | None
    cancelling: bool
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: float
    started: float | None
    finished: float | None

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES


JOB_COLUMNS = [jobs.c[field.name] for field in fields(Job)]


def job_of(row: sa.Row[Any]) -> Job:
    return Job(**row._mapping)


class Jobs:
    """The queue's statements for whoever wants work done."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def submit(self, new: NewJob, answer: Callable[[sa.Connection], Answer | None]) -> Job | Answer:
        """The active job of this key, or ``answer`` if it finds one, or a new job.

        The order matters: a job that ends between the two looks has published its answer in the
        transaction that ended it, so looking for the job first never misses both.
        """
        for _ in range(TRIES):
            try:
                with self.database.write() as connection:
                    if active := self._join(connection, new.key):
                        return active
                    if (found := answer(connection)) is not None:
                        return found
                    return self._insert(connection, new)
            except sa.exc.IntegrityError:
                continue  # PostgreSQL: somebody inserted the same key just now; join that job
        raise Unavailable("the queue is too busy", value=new.key, remedy="submit again")

    def enqueue(self, new: NewJob) -> Job:
        """The active job of this key, or a new one: for work that has no answer to find."""
        job = self.submit(new, lambda _: None)
        assert isinstance(job, Job)
        return job

    def _join(self, connection: sa.Connection, key: str) -> Job | None:
        """The active job of this key. Whoever joins wants it: it is no longer to be cancelled."""
        statement = (
            sa.update(jobs)
            .where(jobs.c.key == key, jobs.c.state.in_(ACTIVE_STATES))
            .values(cancelling=False)
            .returning(*JOB_COLUMNS)
        )
        row = connection.execute(statement).first()
        return job_of(row) if row else None

    def _insert(self, connection: sa.Connection, new: NewJob) -> Job:
        job_id = uuid.uuid4().hex
        statement = sa.insert(jobs).values(
            id=job_id,
            kind=new.kind,
            key=new.key,
            together=new.together or job_id,
            spec=new.spec,
            state="queued",
            priority=new.priority,
            attempt=0,
            deaths=0,
            due=self.database.now,
            cancelling=False,
            progress={},
            created=self.database.now,
        )
        return job_of(connection.execute(statement.returning(*JOB_COLUMNS)).one())

    def get(self, job_id: str) -> Job:
        """Raises NotFound."""
        with self.database.read() as connection:
            row = connection.execute(sa.select(*JOB_COLUMNS).where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFound(f"no job {job_id!r}", value=job_id, remedy="GET /v1/jobs lists the jobs")
        return job_of(row)

    def page(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Job]:
        """Newest first."""
        query = sa.select(*JOB_COLUMNS)
        for column, value in ((jobs.c.state, state), (jobs.c.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        with self.database.read() as connection:
            return page_of(connection, query, jobs.c.created, jobs.c.id, cursor, limit, job_of)

    def all_active(self, kind: str) -> list[Job]:
        """Queued and running jobs of a kind."""
        query = sa.select(*JOB_COLUMNS).where(jobs.c.kind == kind, jobs.c.state.in_(ACTIVE_STATES))
        with self.database.read() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def cancel(self, job_id: str) -> Job:
        """Cancel a queued job, or ask the worker of a running one to stop.

        Raises:
            NotFound: no such job.
            Conflict: the job has ended.
        """
        mine = jobs.c.id == job_id
        with self.database.write() as connection:
            ended = sa.update(jobs).where(mine, jobs.c.state == "queued")
            connection.execute(ended.values(state="cancelled", finished=self.database.now))
            asked = sa.update(jobs).where(mine, jobs.c.state == "running")
            connection.execute(asked.values(cancelling=True))
        job = self.get(job_id)
        if job.is_final and job.state != "cancelled":
            raise Conflict(
                f"job {job_id} has already {job.state}",
                value=job.state,
                remedy="there is nothing to cancel",
            )
        return job
