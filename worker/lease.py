"""Holding on to jobs: a thread prolongs their leases, the work asks whether it may go on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from cache.errors import LeaseLost, Unavailable
from cache.jobs import Job
from cache.leases import Leases

log = logging.getLogger("featurepack.worker")

PROGRESS_SECONDS = 0.5


class Cancelled(Exception):
    """Every submitter's wish is to stop this work."""


class Stopping(Exception):
    """The worker is asked to end; the job goes back to the queue."""


class Lease:
    """The leases of one or more jobs that are done together.

    ``check`` is cheap: call it between batches. It raises Cancelled, Stopping or LeaseLost.
    """

    def __init__(
        self, leases: Leases, held: Sequence[Job], lease_seconds: float, stop: threading.Event
    ) -> None:
        self._leases = leases
        self.held = list(held)
        self.cancelled: set[str] = set()
        self._seconds = lease_seconds
        self._stop = stop
        self._ended = threading.Event()
        self._lost: LeaseLost | None = None
        self._good_until = time.monotonic() + lease_seconds
        self._told = 0.0
        self._thread = threading.Thread(target=self._prolong, name="lease", daemon=True)

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

    def check(self) -> None:
        if self._lost is not None:
            raise self._lost
        if time.monotonic() > self._good_until:
            # Nobody could prolong it in time: the process was frozen, or the database is away.
            raise LeaseLost("the lease has ended", remedy="nothing: the job is taken up again")
        if self.held and all(job.id in self.cancelled for job in self.held):
            raise Cancelled
        if self._stop.is_set():
            raise Stopping

    def progress(self, progress: dict[str, Any], *, now: bool = False) -> None:
        """Tell how far the work is; at most twice a second unless ``now``."""
        if not now and time.monotonic() - self._told < PROGRESS_SECONDS:
            return
        self._told = time.monotonic()
        try:
            for job in self.held:
                if self._leases.progress(job, progress):
                    self.cancelled.add(job.id)
        except Unavailable as error:
            log.warning("progress not told: %s", error.message)

    def release(self, job: Job) -> None:
        """The job has ended; stop prolonging its lease."""
        self.held.remove(job)

    def _prolong(self) -> None:
        while not self._ended.wait(self._seconds / 5):
            began = time.monotonic()
            try:
                for job in list(self.held):
                    if self._leases.heartbeat(job, self._seconds):
                        self.cancelled.add(job.id)
                self._good_until = began + self._seconds
            except LeaseLost as error:
                # A job that ended between the copy of the list and the heartbeat is no loss.
                if error.value in {job.id for job in self.held}:
                    self._lost = error
                    return
            except Unavailable as error:
                log.warning("lease not prolonged: %s", error.message)
