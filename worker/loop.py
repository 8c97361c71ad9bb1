"""The worker's loop: claim, do, end. One body, callable once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from cache.errors import FeaturepackError, LeaseLost, Unavailable, from_dict
from cache.job import Job
from cache.jobs import Jobs
from cache.origin import doing
from cache.sight import EVERYTHING
from worker.context import Context
from worker.faults import as_failure, is_passing
from worker.lease import Cancelled, Lease, Stopping
from worker.signs import tell_until_stopped
from worker.tasks import LANE_OF, LANES, Task, origin_of
from worker.upkeep import keep_up

log = logging.getLogger("featurepack.worker")

LONGEST_PAUSE = 5.0


def step(context: Context, tasks: Mapping[str, Task]) -> bool:
    """Claim what is due and do it; False when there is nothing to do.

    Raises:
        Unavailable: the database or the store is away.
    """
    context.store.check()
    jobs = context.leases.claim(context.settings.name, list(tasks), context.settings.lease_seconds)
    if not jobs:
        return False
    origin = origin_of(jobs[0])
    spans = context.tracing.job(jobs[0].kind, origin) if context.tracing else nullcontext()
    with doing(origin), spans:
        _do(context, tasks[jobs[0].kind], jobs)
    return True


def _do(context: Context, task: Task, jobs: list[Job]) -> None:
    """Do jobs that were claimed together, and end each of them."""
    lane = LANE_OF[jobs[0].kind]
    for job in jobs:
        with doing(origin_of(job)):
            log.info("claimed %s %s, attempt %d", job.kind, job.id, job.attempt)
    seconds, worked = context.settings.lease_seconds, partial(context.activity.note, lane)
    lease = Lease(context.leases, jobs, seconds, context.stop, worked)
    try:
        with lease:
            task(context, jobs, lease)
    except LeaseLost as error:
        log.warning("%s", error.message)
    except Stopping:
        _end(lease, context.leases.hand_back)
    except Cancelled:
        _end(lease, context.leases.end_cancelled)
    except Exception as error:
        failure = _failure(context, error)
        if is_passing(failure):
            end = context.leases.retry
        else:
            end = context.leases.fail
            worked()
        log.warning("%s: %s", failure.kind, failure.message, exc_info=_unforeseen(failure, error))
        if context.tracing is not None:
            context.tracing.fail(failure)
        _end(lease, lambda job: end(job, _with_names(failure, job)))
    _clear_uploads(context, jobs)


def _unforeseen(failure: FeaturepackError, error: Exception) -> Exception | None:
    """The error, if where it came from is needed to understand it."""
    return error if failure.kind == FeaturepackError.kind else None


def _failure(context: Context, error: Exception) -> FeaturepackError:
    """What the job is to show. Whatever failed for want of the store passes when it is back."""
    failure = as_failure(error)
    try:
        context.store.check()
    except Unavailable as gone:
        return gone
    return failure


def _end(lease: Lease, end: Callable[[Job], None]) -> None:
    """End every job that the task did not end itself."""
    for job in list(lease.held):
        try:
            end(job)
        except LeaseLost as error:
            log.warning("%s", error.message)


def _clear_uploads(context: Context, jobs: list[Job]) -> None:
    """What was uploaded for a job has done its duty when the job has ended, and not before."""
    for job in jobs:
        uploads = job.spec.get("uploads", ())
        if uploads and Jobs(context.database).get(job.id, EVERYTHING).is_final:
            for upload in uploads:
                Path(upload["path"]).unlink(missing_ok=True)


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
    """Work until ``context.stop`` is set: each lane does one job after the other."""
    lanes = [
        threading.Thread(target=_lane, args=(context, tasks), name=name)
        for name, tasks in LANES.items()
    ]
    lanes.append(threading.Thread(target=keep_up, args=(context,), name="upkeep"))
    for lane in lanes:
        lane.start()
    tell_until_stopped(context)
    for lane in lanes:
        lane.join()
    try:
        context.catalogue.worker_gone(context.settings.name)
    except Unavailable as error:
        log.warning("%s", error.message)  # its silence will say the same


def _lane(context: Context, tasks: Mapping[str, Task]) -> None:
    """One step after the other. Where the queue itself fails, wait with growing pauses."""
    pause = context.settings.poll_seconds
    while not context.stop.is_set():
        try:
            if step(context, tasks):
                continue
            pause = context.settings.poll_seconds
        except Unavailable as error:
            log.warning("%s", error.message)
            pause = min(2 * pause, LONGEST_PAUSE)
        except Exception:
            log.exception("a step ended unexpectedly; the lane goes on")
            pause = min(2 * pause, LONGEST_PAUSE)
        context.stop.wait(pause)
