"""Long work answers 202 at once, or waits as long as the client prefers (RFC 7240)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import Header, Response

from cache.errors import Conflict, from_dict
from cache.job import Job
from cache.jobs import Jobs
from cache.sight import EVERYTHING
from service.turns import without_place

Prefer = Annotated[str | None, Header(description="wait=N waits up to N seconds")]
"""A route's parameter of this type is what :func:`wait_seconds` reads."""

MAX_WAIT_SECONDS = 60.0
UPLOAD_WAIT_SECONDS = 30.0
"""How long short jobs are waited for unless the client says otherwise."""
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
LATE = 0.1
"""Of the time that a job took, its answer may come so much later."""


def wait_seconds(prefer: str | None, default: float = 0.0) -> float:
    """Seconds from a ``Prefer: wait=N`` header; ``respond-async`` alone means none."""
    if prefer is None:
        return default
    if found := re.search(r"(?:^|[,;\s])wait\s*=\s*(\d+)", prefer, re.IGNORECASE):
        return min(float(found[1]), MAX_WAIT_SECONDS)
    return 0.0 if "respond-async" in prefer.lower() else default


def pause_after(waited: float) -> float:
    """Seconds until the next look, after so many seconds."""
    return min(max(SHORTEST_PAUSE, LATE * waited), LONGEST_PAUSE)


async def wait_for(jobs: Jobs, job: Job, seconds: float) -> Job:
    """The job as it is when it has ended, or after ``seconds``."""
    if job.is_final or seconds <= 0:
        return job
    began = time.monotonic()
    async with without_place():
        while not job.is_final and (waited := time.monotonic() - began) < seconds:
            await asyncio.sleep(min(pause_after(waited), seconds - waited))
            job = await run_sync(jobs.get, job.id, EVERYTHING)  # it was seen before
    return job


async def outcome(jobs: Jobs, job: Job, seconds: float, response: Response) -> Job:
    """Wait, then answer 202 with ``Location`` if the job goes on.

    Raises:
        FeaturepackError: the job failed; its own error, so a user's mistake is a 4xx.
        Conflict: the job was cancelled.
    """
    job = await wait_for(jobs, job, seconds)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if job.error is not None:
        raise from_dict(job.error)
    if job.state == "cancelled":
        raise Conflict(f"job {job.id} was cancelled", value=job.id, remedy="submit it again")
    if not job.is_final:
        response.status_code = 202
    return job
