"""The queue as a worker sees it: claim, hold, end. Leases with fencing.

A worker *claims* a job: its ``attempt`` goes up by one and ``due`` says until when the lease
holds. Whoever claims next, because the lease has ended, gets a higher attempt, and every write of
a worker says which attempt it belongs to: a worker that was taken for dead finds no row to write
to and stops (:class:`~cache.errors.LeaseLost`). New work and takeover are the same statement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from cache.database import ACTIVE_STATES, Database, jobs, shards
from cache.errors import FeaturepackError, LeaseLost, Unavailable
from cache.jobs import JOB_COLUMNS, Job, job_of

MAX_DEATHS: Final = 5
"""So many workers may vanish over one job before it fails for good."""


class Leases:
    """The queue's statements for a worker."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def claim(self, worker: str, kinds: Sequence[str], lease_seconds: float) -> list[Job]:
        """Take the first job that is due, and with it those that can be done together with it.

        Empty when there is nothing to do.
        """
        now = self.database.now
        due = sa.and_(jobs.c.state.in_(ACTIVE_STATES), jobs.c.due <= now, jobs.c.kind.in_(kinds))
        first = (
            sa.select(jobs.c.id)
            .where(due)
            .order_by(jobs.c.priority.desc(), jobs.c.created, jobs.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        taken = {
            "state": "running",
            "attempt": jobs.c.attempt + 1,
            "deaths": jobs.c.deaths + sa.case((jobs.c.state == "running", 1), else_=0),
            "due": now + lease_seconds,
            "worker": worker,
            "started": sa.func.coalesce(jobs.c.started, now),
        }
        with self.database.write() as connection:
            lead_id = connection.execute(first).scalar()
            if lead_id is None:
                return []
            lead = job_of(
                connection.execute(
                    sa.update(jobs)
                    .where(jobs.c.id == lead_id)
                    .values(taken)
                    .returning(*JOB_COLUMNS)
                ).one()
            )
            others = (
                sa.select(jobs.c.id)
                .where(due, jobs.c.together == lead.together, jobs.c.id != lead.id)
                .with_for_update(skip_locked=True)
            )
            other_ids = list(connection.execute(others).scalars())
            rest = sa.update(jobs).where(jobs.c.id.in_(other_ids)).values(taken)
            rows = connection.execute(rest.returning(*JOB_COLUMNS)).all() if other_ids else []
        claimed = [lead, *sorted(map(job_of, rows), key=lambda job: (job.created, job.id))]
        return [job for job in claimed if not self._given_up(job)]

    def _given_up(self, job: Job) -> bool:
        if job.deaths < MAX_DEATHS and not job.cancelling:
            return False
        if job.cancelling:
            self.end_cancelled(job)
        else:
            message = f"{job.deaths} workers died over this job"
            remedy = "look at the worker's log, then submit it again"
            self.fail(job, Unavailable(message, value=job.deaths, remedy=remedy))
        return True

    def heartbeat(self, job: Job, lease_seconds: float) -> bool:
        """Prolong the lease. True when the job should be cancelled. Raises LeaseLost."""
        with self.database.write() as connection:
            self._update(connection, job, due=self.database.now + lease_seconds)
            return self._is_cancelling(connection, job)

    def progress(self, job: Job, progress: dict[str, Any]) -> bool:
        """Tell how far the job is. True when it should be cancelled. Raises LeaseLost."""
        with self.database.write() as connection:
            self._update(connection, job, progress=progress)
            return self._is_cancelling(connection, job)

    def record_shard(self, job: Job, shard: int, digest: bytes) -> None:
        """Remember a shard whose bytes are on the disk. Raises LeaseLost."""
        with self.database.write() as connection:
            self._hold(connection, job)
            connection.execute(sa.insert(shards).values(job_id=job.id, shard=shard, hash=digest))

    def recorded_shards(self, job: Job) -> dict[int, bytes]:
        query = sa.select(shards.c.shard, shards.c.hash).where(shards.c.job_id == job.id)
        with self.database.read() as connection:
            return {shard: bytes(digest) for shard, digest in connection.execute(query)}

    def forget_shards(self, job: Job) -> None:
        """Raises LeaseLost."""
        with self.database.write() as connection:
            self._hold(connection, job)
            connection.execute(sa.delete(shards).where(shards.c.job_id == job.id))

    def finish(self, job: Job, publish: Callable[[sa.Connection], dict[str, Any]]) -> None:
        """End a job well, and publish what it made in the same transaction.

        ``publish`` is called once the lease is proven; what it returns is the job's result.

        Raises:
            LeaseLost: another worker owns the job now; ``publish`` was not called.
        """
        with self.database.write() as connection:
            self._hold(connection, job)
            self._end(connection, job, state="succeeded", result=publish(connection))

    def fail(self, job: Job, error: FeaturepackError) -> None:
        """End a job for good with its error. Raises LeaseLost."""
        with self.database.write() as connection:
            self._end(connection, job, state="failed", error=error.as_dict())

    def end_cancelled(self, job: Job) -> None:
        """End a job that is to be cancelled, or give it back if somebody wants it again by now.

        Raises:
            LeaseLost: another worker owns the job now.
        """
        still = jobs.c.cancelling.is_(True)
        with self.database.write() as connection:
            self._update(
                connection,
                job,
                state=sa.case((still, "cancelled"), else_="queued"),
                finished=sa.case((still, self.database.now), else_=None),
                due=self.database.now,
            )
            connection.execute(sa.delete(shards).where(shards.c.job_id == job.id))

    def hand_back(self, job: Job) -> None:
        """Give an unfinished job back to the queue, for anyone to go on with. Raises LeaseLost."""
        with self.database.write() as connection:
            self._update(connection, job, state="queued", due=self.database.now)

    def _end(self, connection: sa.Connection, job: Job, **values: Any) -> None:
        self._update(connection, job, finished=self.database.now, **values)
        connection.execute(sa.delete(shards).where(shards.c.job_id == job.id))

    def _is_cancelling(self, connection: sa.Connection, job: Job) -> bool:
        query = sa.select(jobs.c.cancelling).where(jobs.c.id == job.id)
        return bool(connection.execute(query).scalar_one())

    def _hold(self, connection: sa.Connection, job: Job) -> None:
        """Make sure of the lease, and keep others off the row until the transaction ends."""
        self._update(connection, job, worker=job.worker)

    def _update(self, connection: sa.Connection, job: Job, **values: Any) -> None:
        statement = sa.update(jobs).where(
            jobs.c.id == job.id, jobs.c.attempt == job.attempt, jobs.c.state == "running"
        )
        if connection.execute(statement.values(**values)).rowcount != 1:
            raise LeaseLost(
                f"job {job.id} is no longer held by this worker (attempt {job.attempt})",
                value=job.id,
                remedy="nothing: its new owner goes on",
            )
