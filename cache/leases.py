"""The queue as a worker sees it: claim, hold, end. Leases with fencing.

A worker *claims* a job: its ``attempt`` goes up by one and ``due`` says until when the lease
holds. Whoever claims next, because the lease has ended, gets a higher attempt, and every write of
a worker says which attempt it belongs to: a worker that was taken for dead finds no row to write
to and stops (:class:`~cache.errors.LeaseLost`). New work and takeover are the same statement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from cache import attempts
from cache.attempts import Outcome
from cache.claims import due_together, take
from cache.database import Database
from cache.errors import FeaturepackError, LeaseLost, Unavailable
from cache.job import Job
from cache.ledger import charge
from cache.shares import others_wait
from cache.tables import jobs, shards
from cache.waiting import give_up

log = logging.getLogger("featurepack.cache")

MAX_DEATHS: Final = 20
"""So many workers may vanish over one job, without one shard between them, before it fails."""

MAX_FAILURES: Final = 20
"""So many passing faults, without one shard between them, before a job fails: about an hour."""

LONGEST_PAUSE: Final = 300.0


def pause_after(failures: int) -> float:
    """Seconds to wait after so many passing faults: 1, 2, 4 … 256, 300."""
    return min(2.0 ** (failures - 1), LONGEST_PAUSE)


@dataclass(frozen=True)
class Shard:
    """A run of rows that is on the disk: its digest, and how many of its rows were copied."""

    shard: int
    digest: bytes
    copied: int = 0


class Leases:
    """The queue's statements for a worker."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def claim(self, worker: str, kinds: Sequence[str], lease_seconds: float) -> list[Job]:
        """Take the first job that is due, and with it those that can be done together with it.

        First the team that used the least lately (:mod:`cache.shares`), and of its jobs that of the
        highest priority, then the oldest; those that seem to kill workers come last. Jobs of other
        teams are not taken along: they would make this one's wait longer. Empty when there is
        nothing to do.
        """
        with self.database.write() as connection:
            found = due_together(connection, self.database, kinds)
            taken = [take(connection, self.database, one, worker, lease_seconds) for one in found]
        for before in found:
            if before.job.state == "running":
                self._count(before.job, "lost")
        return [job for job in taken if not self._given_up(job)]

    def _given_up(self, job: Job) -> bool:
        if job.cancelling:
            self.end_cancelled(job)
        elif job.deaths >= MAX_DEATHS:
            message = f"{job.deaths} workers died over this job"
            remedy = "look at the worker's log, then submit it again"
            self.fail(job, Unavailable(message, value=job.deaths, remedy=remedy))
        else:
            return False
        return True

    def heartbeat(self, job: Job, lease_seconds: float) -> bool:
        """Prolong the lease. True when the job should be cancelled. Raises LeaseLost."""
        with self.database.write(durable=False) as connection:
            self._update(connection, job, due=self.database.now + lease_seconds)
            return self._is_cancelling(connection, job)

    def should_yield(self, job: Job) -> bool:
        """Whether another team waits for a worker that used much less of them than this job's."""
        query = sa.select(jobs.c.payer).where(jobs.c.id == job.id)
        with self.database.read() as connection:
            payer = connection.execute(query).scalar_one()
            return others_wait(connection, self.database, [job.kind], payer)

    def progress(self, job: Job, progress: dict[str, Any]) -> bool:
        """Tell how far the job is. True when it should be cancelled. Raises LeaseLost."""
        with self.database.write(durable=False) as connection:
            self._update(connection, job, progress=progress)
            return self._is_cancelling(connection, job)

    def record_shards(self, job: Job, finished: Sequence[Shard]) -> None:
        """Remember shards of the job's pack whose bytes are on the disk. Raises LeaseLost."""
        pack_id = job.spec["pack_id"]
        numbers = [one.shard for one in finished]
        known = sa.and_(shards.c.pack_id == pack_id, shards.c.shard.in_(numbers))
        with self.database.write() as connection:
            self._update(connection, job, deaths=0, failures=0)  # it gets on
            connection.execute(sa.delete(shards).where(known))
            connection.execute(
                sa.insert(shards),
                [
                    {
                        "pack_id": pack_id,
                        "shard": one.shard,
                        "hash": one.digest,
                        "copied": one.copied,
                    }
                    for one in finished
                ],
            )

    def recorded_shards(self, pack_id: str) -> list[Shard]:
        """What is on the disk of a pack that is not finished, whichever job wrote it."""
        query = sa.select(shards.c.shard, shards.c.hash, shards.c.copied)
        with self.database.read() as connection:
            found = connection.execute(query.where(shards.c.pack_id == pack_id)).all()
        return [Shard(row.shard, bytes(row.hash), row.copied) for row in found]

    def forget_shards(self, job: Job) -> None:
        """Raises LeaseLost."""
        with self.database.write() as connection:
            self._hold(connection, job)
            connection.execute(sa.delete(shards).where(shards.c.pack_id == job.spec["pack_id"]))

    def finish(self, job: Job, publish: Callable[[sa.Connection], dict[str, Any]]) -> None:
        """End a job well, and publish what it made in the same transaction.

        ``publish`` is called once the lease is proven; what it returns is the job's result.

        Raises:
            LeaseLost: another worker owns the job now; ``publish`` was not called.
        """
        with self.database.write() as connection:
            self._hold(connection, job)
            self._end(connection, job, "succeeded", result=publish(connection))
            made = shards.c.pack_id == job.spec.get("pack_id")
            connection.execute(sa.delete(shards).where(made))
        self._count(job, "succeeded")

    def fail(
        self,
        job: Job,
        error: FeaturepackError,
        also: Callable[[sa.Connection], None] | None = None,
    ) -> None:
        """End a job for good with its error, and do ``also`` in the same transaction.

        Raises:
            LeaseLost: another worker owns the job now; ``also`` was not called.
        """
        with self.database.write() as connection:
            self._end(connection, job, "failed", error=error.as_dict())
            if also is not None:
                also(connection)
        self._count(job, "failed", error)

    def retry(self, job: Job, error: FeaturepackError) -> None:
        """Give a job back after a passing fault, to be tried again after a pause.

        It fails for good where that was in vain too often. Raises LeaseLost.
        """
        with self.database.write() as connection:
            self._hold(connection, job)
            query = sa.select(jobs.c.failures, jobs.c.cancelling).where(jobs.c.id == job.id)
            before, cancelling = connection.execute(query).one()
            outcome: Outcome = "retrying"
            if cancelling:
                outcome = "cancelled"
                self._end(connection, job, outcome)
            elif before + 1 > MAX_FAILURES:
                outcome = "failed"
                self._end(connection, job, outcome, error=error.as_dict())
            else:
                self._release(
                    connection,
                    job,
                    outcome,
                    error=error.as_dict(),
                    failures=before + 1,
                    due=self.database.now + pause_after(before + 1),
                )
        self._count(job, outcome, error)

    def end_cancelled(self, job: Job) -> None:
        """End a job that is to be cancelled, or give it back if somebody wants it again by now.

        Raises:
            LeaseLost: another worker owns the job now.
        """
        with self.database.write() as connection:
            self._hold(connection, job)
            outcome: Outcome = "handed back"
            if self._is_cancelling(connection, job):
                outcome = "cancelled"
                self._end(connection, job, outcome)
            else:
                self._release(connection, job, outcome, due=self.database.now)
        self._count(job, outcome)

    def hand_back(self, job: Job) -> None:
        """Give an unfinished job back to the queue, for anyone to go on with. Raises LeaseLost."""
        with self.database.write() as connection:
            self._release(connection, job, "handed back", due=self.database.now)
        self._count(job, "handed back")

    def _count(self, job: Job, outcome: Outcome, error: FeaturepackError | None = None) -> None:
        """An attempt has ended, and the transaction that says so is committed."""
        self.database.counts.add("attempts", f"{job.kind}/{outcome}")
        if error is not None:
            self.database.counts.add("errors", error.kind)
        fields = {"job_id": job.id, "attempt": job.attempt, "request_id": job.request_id}
        log.info("%s job %s", job.kind, outcome, extra={"fields": fields})

    def _end(
        self,
        connection: sa.Connection,
        job: Job,
        outcome: Outcome,
        *,
        result: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
    ) -> None:
        now = self.database.time(connection)
        told = attempts.ended(job.attempts, outcome, now, error)
        values = {"state": outcome, "finished": now, "result": result, "error": error}
        self._update(connection, job, attempts=told, **values)
        charge(connection, self.database, job.id, result)
        if outcome in ("failed", "cancelled"):
            give_up(connection, self.database, job.key, error)

    def _release(
        self,
        connection: sa.Connection,
        job: Job,
        outcome: Outcome,
        *,
        error: dict[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """Back to the queue. Nobody else writes ``attempts`` while the lease is ours."""
        told = attempts.ended(job.attempts, outcome, self.database.time(connection), error)
        self._update(connection, job, state="queued", attempts=told, **values)
        charge(connection, self.database, job.id)

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
