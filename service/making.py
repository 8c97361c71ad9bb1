"""Files that a worker makes when they are first asked for: 200 and the file, or 202 and the job."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from anyio.to_thread import run_sync
from fastapi import Response
from fastapi.responses import JSONResponse

from cache.job import Job, NewJob
from service.job_answers import JobAnswer
from service.state import State
from service.waiting import UPLOAD_WAIT_SECONDS, outcome, wait_seconds


@dataclass(frozen=True)
class Making:
    """Where the file lies once it is made, and the job that makes it there."""

    path: Path
    job: NewJob


async def made(kept: State, find: Callable[[], Making], prefer: str | None) -> Path | Response:
    """The file, waited for up to 30 seconds, or the answer that it is being made.

    ``find`` runs in a thread.

    Raises:
        FeaturepackError: the job failed with it, or ``find`` raised it.
        Conflict: the job was cancelled.
    """

    def submit() -> tuple[Path, Path | Job]:
        making = find()
        return making.path, kept.jobs.submit(making.job, lambda _: _used(making.path))

    path, found = await run_sync(submit)
    if isinstance(found, Path):
        return found
    waiting = Response()
    job = await outcome(kept.jobs, found, wait_seconds(prefer, UPLOAD_WAIT_SECONDS), waiting)
    if job.result is not None and await run_sync(_used, path) is not None:
        return path
    location = {"Location": waiting.headers["Location"]}
    return JSONResponse(JobAnswer.of(job).model_dump(mode="json"), 202, location)


def _used(path: Path) -> Path | None:
    """The file, noted as used, if it is there: one that nobody asks for may be swept some day."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return None
    return path
