"""The queue as the service sees it: submit, look, withdraw.

A job is ``queued → running → succeeded | failed | cancelled``. What a worker does with it is in
:mod:`cache.leases`.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from cache.database import Database
from cache.errors import Conflict, NotFound, Unavailable
from cache.job import JOB_COLUMNS, Job, NewJob, job_of
from cache.ledger import team_name
from cache.origin import current
from cache.pages import Order, Page, page_of
from cache.quotas import Quotas
from cache.shares import payers
from cache.sight import Sight
from cache.submitters import joined, left
from cache.tables import ACTIVE_STATES, jobs
from cache.waiting import give_up, is_awaited

log = logging.getLogger("featurepack.cache")

TRIES: Final = 10

Answer = TypeVar("Answer")


class Jobs:
    """The queue's statements for whoever wants work done, within the ``quotas`` if given."""

    def __init__(self, database: Database, quotas: Quotas | None = None) -> None:
        self.database = database
        self._quotas = quotas

    def submit(self, new: NewJob, answer: Callable[[sa.Connection], Answer | None]) -> Job | Answer:
        """The active job of this key, or ``answer`` if it finds one, or a new job.

        Raises:
            QuotaExceeded, StorageFull: the team may not have a new one just now.
        """
        return self.at_once(lambda connection: self.submit_in(connection, new, answer))

    def at_once(self, work: Callable[[sa.Connection], Answer]) -> Answer:
        """Do ``work``, which submits, in one transaction; again if another submitted the same."""
        for _ in range(TRIES):
            try:
                with self.database.write() as connection:
                    return work(connection)
            except sa.exc.IntegrityError:
                continue  # PostgreSQL: somebody inserted the same key just now; join that job
        raise Unavailable("the queue is too busy", remedy="submit again")

    def submit_in(
        self,
        connection: sa.Connection,
        new: NewJob,
        answer: Callable[[sa.Connection], Answer | None],
    ) -> Job | Answer:
        """As :meth:`submit`, within a transaction of :meth:`at_once` that does more.

        The order matters: a job that ends between the two looks has published its answer in the
        transaction that ended it, so looking for the job first never misses both.
        """
        if active := self._join(connection, new):
            return active
        if (found := answer(connection)) is not None:
            return found
        return self._insert(connection, new)

    def enqueue(self, new: NewJob) -> Job:
        """The active job of this key, or a new one: for work that has no answer to find."""
        job = self.submit(new, lambda _: None)
        assert isinstance(job, Job)
        return job

    def _join(self, connection: sa.Connection, new: NewJob) -> Job | None:
        """The active job of this key, wanted by one more.

        It is no longer to be cancelled, and a pause after a fault ends: whoever submits again may
        have mended what was wrong.
        """
        active = sa.select(*JOB_COLUMNS).where(
            jobs.c.key == new.key, jobs.c.state.in_(ACTIVE_STATES)
        )
        row = connection.execute(active.with_for_update()).first()
        if row is None:
            return None
        job = job_of(row)
        submitters = joined(job.submitters, new.submitter, new.priority)
        lenient = _more_lenient(job, new)
        is_paused = sa.and_(jobs.c.state == "queued", jobs.c.due > self.database.now)
        log.info("%s job is joined", job.kind, extra=_fields(job.id))
        mine = team_name(new.owner.team)
        statement = (
            sa.update(jobs)
            .where(jobs.c.id == row.id)
            .values(
                cancelling=False,
                submitters=submitters,
                priority=max(submitters.values()),
                spec=new.spec if lenient else job.spec,
                together=new.together if lenient else job.together,
                due=sa.case((is_paused, self.database.now), else_=jobs.c.due),
                joiner=sa.case((jobs.c.payer == mine, jobs.c.joiner), else_=mine),
            )
        )
        return job_of(connection.execute(statement.returning(*JOB_COLUMNS)).one())

    def _insert(self, connection: sa.Connection, new: NewJob) -> Job:
        if self._quotas is not None:
            self._quotas.admit(connection, new.kind, new.owner.team, new.stores)
        job_id, origin = uuid.uuid4().hex, current()
        if new.kind == "extract":
            self.database.counts.add("extractions")
        log.info("%s job is queued", new.kind, extra=_fields(job_id))
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
            failures=0,
            due=self.database.now,
            cancelling=False,
            submitters=joined({}, new.submitter, new.priority),
            waits_for=new.after if new.after and is_awaited(connection, new.after) else None,
            attempts=[],
            progress={},
            created=self.database.now,
            request_id=origin.request_id,
            traceparent=origin.traceparent,
            space=new.owner.space,
            team=new.owner.team,
            payer=team_name(new.owner.team),
        )
        return job_of(connection.execute(statement.returning(*JOB_COLUMNS)).one())

    def get(self, job_id: str, sight: Sight) -> Job:
        """Raises NotFound."""
        with self.database.read() as connection:
            return self._find(connection, sa.select(*JOB_COLUMNS).where(sight.of(jobs)), job_id)

    def _find(self, connection: sa.Connection, query: sa.Select[Any], job_id: str) -> Job:
        row = connection.execute(query.where(jobs.c.id == job_id)).first()
        if row is None:
            raise NotFound(f"no job {job_id!r}", value=job_id, remedy="GET /v1/jobs lists the jobs")
        return job_of(row)

    def page(
        self,
        sight: Sight,
        *,
        state: str | None = None,
        kind: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[Job]:
        """Newest first."""
        query = sa.select(*JOB_COLUMNS).where(sight.of(jobs))
        for column, value in ((jobs.c.state, state), (jobs.c.kind, kind)):
            if value is not None:
                query = query.where(column == value)
        with self.database.read() as connection:
            newest = Order(jobs.c.created, jobs.c.id)
            return page_of(connection, query, newest, cursor, limit, job_of)

    def all_active(self, sight: Sight, kind: str | None = None) -> list[Job]:
        """Queued and running jobs, of one kind if given."""
        active = jobs.c.state.in_(ACTIVE_STATES)
        query = sa.select(*JOB_COLUMNS).where(active, sight.of(jobs))
        if kind is not None:
            query = query.where(jobs.c.kind == kind)
        with self.database.read() as connection:
            return [job_of(row) for row in connection.execute(query)]

    def cancel(self, job_id: str, submitter: str | None = None, *, force: bool = False) -> Job:
        """Withdraw one submitter; the job is cancelled when the last has withdrawn.

        Without a name one of the unnamed submitters withdraws. ``force`` cancels whoever wants
        the job. A queued job ends at once, the worker of a running one is asked to stop.

        Raises:
            NotFound: no such job.
            Conflict: the job has ended, or the submitter is none of its.
        """
        with self.database.write() as connection:
            locked = sa.select(*JOB_COLUMNS).with_for_update()
            job = self._find(connection, locked, job_id)
            if job.state in ("succeeded", "failed"):
                raise Conflict(
                    f"job {job_id} has already {job.state}",
                    value=job.state,
                    remedy="there is nothing to cancel",
                )
            if job.state == "cancelled" or job.cancelling:
                return job
            rest = {} if force else left(job.submitters, submitter, f"job {job_id}")
            statement = sa.update(jobs).where(jobs.c.id == job_id).returning(*JOB_COLUMNS)
            changed: dict[str, Any] = {"submitters": rest}
            if rest:
                pay = sa.select(jobs.c.payer, jobs.c.joiner).where(jobs.c.id == job_id)
                changed |= payers(*connection.execute(pay).one(), rest)
                changed["priority"] = max(rest.values())
            elif job.state == "queued":
                changed |= {"state": "cancelled", "finished": self.database.now}
                give_up(connection, self.database, job.key, None)
            else:
                changed["cancelling"] = True
            return job_of(connection.execute(statement.values(changed)).one())


def _fields(job_id: str) -> dict[str, Any]:
    """What a log line says of a job beside the request that asks for it."""
    return {"fields": {"job_id": job_id}}


def _more_lenient(job: Job, new: NewJob) -> bool:
    """Broken images fail a job only as long as all who want it say so; the others mask them."""
    return job.spec.get("on_error") == "fail" and new.spec.get("on_error") == "mask"
