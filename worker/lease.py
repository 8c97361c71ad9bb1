"""Holding on to jobs: a thread prolongs their leases, the work asks whether it may go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from cache.errors import LeaseLost, Unavailable
from cache.job import Job
from cache.leases import Leases
from cache.origin import as_now

log = logging.getLogger("featurepack.worker")

PROGRESS_SECONDS = 0.5
SHARD_GRACE_SECONDS = 3.0
LISTEN_SECONDS = 1.5
"""The lease is prolonged at least this often, because that is how a wish to cancel is heard."""
TURN_SECONDS = 60.0
"""A job is held so long before it makes room for another team's: it has to be opened again."""
LOOK_SECONDS = 5.0
"""So often it is asked whether another team waits."""
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 2.0

Result = TypeVar("Result")


class Cancelled(Exception):
    """Every submitter's wish is to stop this work."""


class Stopping(Exception):
    """The worker is asked to end; the job goes back to the queue."""


class Lease:
    """The leases of one or more jobs that are done together.

    ``check`` is cheap: call it between batches. It raises Cancelled, Stopping or LeaseLost.
    """

    def __init__(
        self,
        leases: Leases,
        held: Sequence[Job],
        lease_seconds: float,
        stop: threading.Event,
        worked: Callable[[], None],
    ) -> None:
        """``worked`` is called whenever something is done that was not before."""
        self._leases = leases
        self.held = list(held)
        self.cancelled: set[str] = set()
        self._seconds = lease_seconds
        self._stop = stop
        self._worked = worked
        self._ended = threading.Event()
        self._lost: LeaseLost | None = None
        self._good_until = time.monotonic() + lease_seconds
        self._told = 0.0
        self._stopping_since = 0.0
        self._look_at = time.monotonic() + TURN_SECONDS
        self._ending = ""
        self._thread = threading.Thread(target=as_now(self._prolong), name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def check(self, *, between_shards: bool = False) -> None:
        """Go on, or raise.

        A worker that is asked to end may finish its shard, if that does not take long: then
        only a check ``between_shards`` raises Stopping. So it does where another team waits for a
        worker that used much less of them than this job's; the job goes on later.
        """
        if self._lost is not None:
            raise self._lost
        if time.monotonic() > self._good_until:
            # Nobody could prolong it in time: the process was frozen, or the database is away.
            raise LeaseLost("the lease has ended", remedy="nothing: the job is taken up again")
        if self.held and all(job.id in self.cancelled for job in self.held):
            raise Cancelled
        if self._stop.is_set():
            self._stopping_since = self._stopping_since or time.monotonic()
            waited = time.monotonic() - self._stopping_since
            if between_shards or waited >= SHARD_GRACE_SECONDS:
                raise Stopping
        if between_shards and self._is_turn_over():
            log.info("another team waits: handing %d jobs back", len(self.held))
            raise Stopping

    def _is_turn_over(self) -> bool:
        if not self.held or time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_SECONDS
        try:
            return self._leases.should_yield(self.held[0])
        except Unavailable:
            return False

    def progress(self, progress: dict[str, Any], *, now: bool = False) -> None:
        """Tell how far the work is; at most twice a second unless ``now``.

        What is told ``now`` is a phase: it says what begins, and not that something is done.
        """
        if not now:
            self._worked()
        if not now and time.monotonic() - self._told < PROGRESS_SECONDS:
            return
        self._told = time.monotonic()
        try:
            for job in self.held:
                if self._leases.progress(job, progress):
                    self.cancelled.add(job.id)
        except Unavailable as error:
            log.warning("progress not told: %s", error.message)

    def insist(self, do: Callable[[], Result]) -> Result:
        """Do something that needs the database; while that is away, wait as the lease allows.

        Raises:
            LeaseLost: the database did not come back in time.
            Cancelled, Stopping: as :meth:`check`.
        """
        pause = FIRST_PAUSE
        while True:
            try:
                return do()
            except Unavailable as error:
                self.check()
                log.warning("waiting: %s", error.message)
                self._stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    def end(self, job: Job, do: Callable[[], None]) -> None:
        """Do what ends a job, as :meth:`insist` does things; its lease is needed until then."""
        self._ending = job.id
        self.insist(do)
        self.held.remove(job)
        self._worked()

    def _prolong(self) -> None:
        usual = pause = min(self._seconds / 5, LISTEN_SECONDS)
        while not self._ended.wait(pause):
            began, pause = time.monotonic(), usual
            try:
                for job in list(self.held):
                    if self._leases.heartbeat(job, self._seconds):
                        self.cancelled.add(job.id)
                self._good_until = began + self._seconds
            except LeaseLost as error:
                # A job that ends, or ended since the list was copied, is no loss.
                if error.value in {job.id for job in self.held} - {self._ending}:
                    self._lost = error
                    return
            except Unavailable as error:
                log.warning("lease not prolonged: %s", error.message)
                pause = min(usual, LONGEST_PAUSE)
