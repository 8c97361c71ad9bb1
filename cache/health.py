"""Whether what is asked for gets done: the queue, and the workers that live, at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from cache.counts import Sums, kept_counts
from cache.database import Database
from cache.errors import Unavailable
from cache.overview import lowest
from cache.queries import select
from cache.queue_state import KindState, queue_state
from cache.rows import WorkerRow
from cache.signs import stuck_lanes
from cache.tables import workers


@dataclass(frozen=True)
class Health:
    """The queue by kind, workers heard of lately, sums of all workers, the database's time."""

    now: float
    queue: list[KindState]
    live: list[WorkerRow]
    counts: Sums

    @property
    def byte_limit(self) -> int | None:
        return lowest([worker.byte_limit for worker in self.live])

    def check(self, patience_seconds: float) -> None:
        """Return if a worker lives and jobs do not wait in vain.

        Raises:
            Unavailable: no worker; or jobs wait that live workers should have claimed, and in
                ``patience_seconds`` none of them has done any real work.
        """
        if not self.live:
            remedy = "start one: featurepack worker"
            raise Unavailable("no worker is alive", value=0, remedy=remedy)
        for stuck in stuck_lanes(self.queue, self.live, self.now, patience_seconds):
            raise Unavailable(
                f"jobs of the lane {stuck.lane!r} wait since {stuck.waiting_seconds:.0f} s, and no "
                f"worker has done any work of it for {stuck.idle_seconds:.0f} s",
                value=stuck.lane,
                remedy="look at the workers' logs and start them again; a worker that does long "
                "steps needs a higher FEATUREPACK_WORK_SILENCE_SECONDS",
            )


def look(database: Database, silence_seconds: float) -> Health:
    """Workers that were not heard of for ``silence_seconds`` are taken for dead.

    Raises:
        Unavailable: the database does not answer.
    """
    with database.read() as connection:
        now = database.time(connection)
        heard = select(workers, WorkerRow).where(workers.c.seen >= now - silence_seconds)
        live = [WorkerRow(**row._mapping) for row in connection.execute(heard)]
        return Health(now, queue_state(connection, now), live, kept_counts(connection))
