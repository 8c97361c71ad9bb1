"""Waiting for a job: by long polls, or by its events where somebody watches."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from typing import Any

import httpx

from featurepack.answers import Job
from featurepack.errors import FeaturepackError, JobCancelled, TimedOut, from_problem
from featurepack.events import MEDIA_TYPE, events_of, is_event_stream
from featurepack.transport import BROKEN, Retry, Transport, may_pass, segment, unexpected

OnProgress = Callable[[Job], None]
"""Told the job when it changes, and every few seconds when not; may raise to stop waiting."""

SHORTEST_POLL = 0.2
OUTAGE_SECONDS = 60.0
"""How long the service may be away, for a restart, while a job is waited for."""

QUIET_SECONDS = 5.0
"""Events that tell nothing for so long are asked for anew: the first one tells how the job is.

So a connection that is dead, though nothing says so, is noticed as soon.
"""

LATE_SECONDS = 1.0
"""How late a time-out may be while events come in."""


class Patience:
    """One wait: when it ends, and for how long the service has been away in it."""

    def __init__(self, retry: Retry, seconds: float | None) -> None:
        self._retry = retry
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self.answered()

    def answered(self) -> None:
        """The service is there."""
        self._heard = time.monotonic()
        self._failures = 0

    @property
    def left(self) -> float:
        """Seconds until the wait ends."""
        return self._end - time.monotonic()

    @property
    def silent(self) -> float:
        """Seconds since the service answered."""
        return time.monotonic() - self._heard

    def outlast(self, failure: FeaturepackError) -> None:
        """Pause before the next try; raises ``failure`` if it will not pass, or not soon."""
        if not may_pass(failure) or self.silent > OUTAGE_SECONDS:
            raise failure
        self._retry.pause(self._failures, failure.retry_after, most=self.left)
        self._failures += 1


class WaitCalls:
    """``/v1/jobs/{id}``, and what all parts of the client share."""

    _transport: Transport

    def job(self, job_id: str) -> Job:
        """A job as it is now. Raises NotFound."""
        return Job.of(self._transport.json("GET", job_path(job_id), again=True))

    def events(self, job_id: str) -> Iterator[Job]:
        """A job as it is now, then whenever it changes; the last one has ended.

        Every few seconds without a change it is told again. A connection that breaks is made anew.

        Raises:
            NotFound: no such job.
            Unavailable: the service was away for a minute.
        """
        return self._told(job_id, Patience(self._transport.retry, None))

    def wait(
        self,
        job: Job | str,
        *,
        on_progress: OnProgress | None = None,
        timeout: float | None = None,
    ) -> Job:
        """Wait until a job has succeeded; ``on_progress`` hears of it as :meth:`events` does.

        Raises:
            FeaturepackError: the job failed; its own error, of the class that fits.
            JobCancelled: it was cancelled.
            TimedOut: it did not end within ``timeout`` seconds.
            NotFound: no such job.
            Unavailable: the service was away for a minute.
        """
        patience = Patience(self._transport.retry, timeout)
        current = self.job(job) if isinstance(job, str) else job
        if on_progress is not None:
            on_progress(current)
        if not current.is_final:
            follow = self._polled if on_progress is None else self._told
            with closing(follow(current.id, patience)) as told:
                for current in told:
                    if on_progress is not None:
                        on_progress(current)
        if current.is_final:
            return _succeeded(current)
        raise TimedOut(
            f"job {current.id} is still {current.state} after {timeout:g} s",
            value=current.id,
            remedy="wait longer, or cancel it",
        )

    def _polled(self, job_id: str, patience: Patience) -> Generator[Job, None, None]:
        """The job after each of several requests that the service answers when it has ended."""
        while (left := patience.left) > 0:
            asked = time.monotonic()
            seconds = max(1, round(min(left, self._transport.longest_wait)))
            prefer = {"Prefer": f"wait={seconds}"}
            try:
                answer = self._transport.json("GET", job_path(job_id), again=False, headers=prefer)
            except FeaturepackError as failure:
                patience.outlast(failure)
                continue
            yield (job := Job.of(answer))
            if job.is_final:
                return
            patience.answered()
            if time.monotonic() - asked < SHORTEST_POLL:
                self._transport.retry.sleep(SHORTEST_POLL)

    def _told(self, job_id: str, patience: Patience) -> Generator[Job, None, None]:
        """The job from each of its events, over as many connections as it takes."""
        path, headers = f"{job_path(job_id)}/events", {"Accept": MEDIA_TYPE}
        while (left := patience.left) > 0:
            quiet = min(QUIET_SECONDS, left)
            broken: Exception = httpx.ReadError("the events ended before the job did")
            failure: FeaturepackError | None = None
            try:
                with self._transport.stream(
                    "GET", path, again=False, headers=headers, timeout=quiet
                ) as response:
                    for job in _jobs_of(response, _while_fresh(response, patience, quiet)):
                        yield job
                        if job.is_final:
                            return
                        patience.answered()
            except BROKEN as error:
                broken = error
            except FeaturepackError as error:
                failure = error
            patience.outlast(failure or self._transport.broken(broken))

    def _patient(self, on_progress: OnProgress | None) -> dict[str, str]:
        """A header that has the service wait for a short job, but not while somebody watches."""
        return {"Prefer": f"wait={1 if on_progress else self._transport.longest_wait}"}

    def _result(self, answer: Mapping[str, Any], on_progress: OnProgress | None) -> dict[str, Any]:
        """The result of a job that was answered in place of what was asked for."""
        result = self.wait(Job.of(answer), on_progress=on_progress).result
        assert result is not None
        return result


def _while_fresh(response: httpx.Response, patience: Patience, quiet: float) -> Iterator[bytes]:
    """The answer's bytes until they tell nothing for too long, or the wait is about to end.

    Bytes alone are no sign of life of the job: a proxy may send comments for ever.
    """
    for piece in response.iter_bytes():
        yield piece
        if patience.silent > quiet or patience.left < quiet - LATE_SECONDS:
            return


def _jobs_of(response: httpx.Response, pieces: Iterable[bytes]) -> Iterator[Job]:
    if not is_event_stream(response):
        raise unexpected(response, "no event stream")
    for event in events_of(pieces):
        if event.name == "job":
            try:
                data = json.loads(event.data)
            except ValueError as error:
                raise unexpected(response, "no JSON") from error
            if not isinstance(data, dict):
                raise unexpected(response, "no job")
            yield Job.of(data)


def _succeeded(job: Job) -> Job:
    if job.state == "cancelled":
        raise JobCancelled(f"job {job.id} was cancelled", value=job.id, remedy="submit it again")
    if job.error is not None:
        raise from_problem(job.error)
    if job.state == "failed":
        raise FeaturepackError(f"job {job.id} failed", value=job.id)
    return job


def job_path(job_id: str) -> str:
    return f"/v1/jobs/{segment(job_id)}"
