"""The worker's loop: claim, do, end. One body, callable once."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from cache.errors import FeaturepackError, LeaseLost, Unavailable, from_dict
from cache.jobs import Job
from worker.context import Context
from worker.lease import Cancelled, Lease, Stopping
from worker.tasks import EXTRACTION, QUICK, Task

log = logging.getLogger("featurepack.worker")

HEARTBEAT_SECONDS = 5.0


def step(context: Context, tasks: Mapping[str, Task]) -> bool:
    """Claim what is due and do it; False when there is nothing to do."""
    jobs = context.leases.claim(context.settings.name, list(tasks), context.settings.lease_seconds)
    if not jobs:
        return False
    log.info("claimed %s %s, attempt %d", jobs[0].kind, jobs[0].id, jobs[0].attempt)
    lease = Lease(context.leases, jobs, context.settings.lease_seconds, context.stop)
    try:
        with lease:
            tasks[jobs[0].kind](context, jobs, lease)
    except LeaseLost as error:
        log.warning("%s", error.message)
        return True  # its new owner needs the uploads
    except Stopping:
        _end(lease, context.leases.hand_back)
        return True
    except Cancelled:
        _end(lease, context.leases.end_cancelled)
    except Exception as error:
        failure = _as_failure(error)
        _end(lease, lambda job: context.leases.fail(job, _with_names(failure, job)))
    _clear_uploads(jobs)
    return True


def _end(lease: Lease, end: Callable[[Job], None]) -> None:
    """End every job that the task did not end itself."""
    for job in list(lease.held):
        try:
            end(job)
        except LeaseLost as error:
            log.warning("%s", error.message)


def _clear_uploads(jobs: list[Job]) -> None:
    """The jobs have ended; what was uploaded for them has done its duty."""
    for job in jobs:
        for upload in job.spec.get("uploads", ()):
            Path(upload["path"]).unlink(missing_ok=True)


def _as_failure(error: Exception) -> FeaturepackError:
    if isinstance(error, FeaturepackError):
        log.warning("failed: %s", error.message)
        return error
    log.exception("failed")
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return Unavailable("the disk is full", remedy="make space, then submit again")
    return FeaturepackError(
        f"{type(error).__name__}: {error}", remedy="report this; the worker's log has more"
    )


def _with_names(failure: FeaturepackError, job: Job) -> FeaturepackError:
    """The error with an uploaded file called as its owner called it, not as the store does."""
    error = failure.as_dict()
    for upload in job.spec.get("uploads", ()):
        kept = Path(upload["path"]).name
        for field in ("detail", "value"):
            if isinstance(error[field], str):
                error[field] = error[field].replace(kept, upload["name"])
    return from_dict(error)


def run(context: Context) -> None:
    """Work until ``context.stop`` is set: one lane for extractions, one for short jobs."""
    lanes = [
        threading.Thread(target=_lane, args=(context, tasks), name=name)
        for name, tasks in (("extraction", EXTRACTION), ("quick", QUICK))
    ]
    for lane in lanes:
        lane.start()
    while not context.stop.is_set():
        try:
            context.catalogue.worker_seen(context.settings.name, str(context.device))
        except Unavailable as error:
            log.warning("%s", error.message)
        context.stop.wait(HEARTBEAT_SECONDS)
    for lane in lanes:
        lane.join()
    context.catalogue.worker_gone(context.settings.name)


def _lane(context: Context, tasks: Mapping[str, Task]) -> None:
    while not context.stop.is_set():
        try:
            busy = step(context, tasks)
        except Unavailable as error:
            log.warning("%s", error.message)
            busy = False
        if not busy:
            context.stop.wait(context.settings.poll_seconds)
