"""``/v1/jobs``: ask for packs, watch them being built."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from cache.errors import Unavailable
from cache.job import Job
from cache.rows import PackRow
from cache.sight import EVERYTHING, Sight
from service.answers import Listing, PackAnswer, listing
from service.caller import Asking
from service.estimate import estimate
from service.job_answers import EstimateAnswer, JobAnswer, Submissions
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.resolve import resolve
from service.retrying import retry
from service.schemas import JobRequest
from service.state import Kept, State
from service.submitting import refuse_broken, submit_pack
from service.waiting import Prefer, outcome, wait_for, wait_seconds

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

EVENT_SECONDS = 0.5

Answer = PackAnswer | JobAnswer | Submissions

Kind = Literal[
    "extract",
    "ingest",
    "weights",
    "import",
    "head",
    "predict",
    "classify",
    "onnx",
    "verify",
    "statistics",
    "map",
]


@router.post(
    "",
    status_code=202,
    response_model=Answer,
    responses={200: {"model": Answer, "description": "cached, or built while waited for"}},
)
async def submit(
    request: JobRequest,
    response: Response,
    kept: Kept,
    caller: Asking,
    prefer: Prefer = None,
) -> Answer:
    """Ask for a pack: 200 and the pack when it is cached, else 202 and the job that builds it.

    The same request twice is one job. With ``taps`` the answer lists a pack or job for each; they
    are built by one forward pass.
    """
    wanted = await run_sync(resolve, kept, caller, request)
    found = [await run_sync(submit_pack, kept, caller, wanted, r, request) for r in wanted.recipes]
    seconds = wait_seconds(prefer)
    if request.taps is None:
        return await _answer_one(kept, found[0], request.on_error, seconds, response)
    ended = [f if isinstance(f, PackRow) else await wait_for(kept.jobs, f, seconds) for f in found]
    items = [await _pack_or_job(kept, one, request.on_error) for one in ended]
    if all(isinstance(item, PackAnswer) for item in items):
        response.status_code = 200
    return Submissions(items=items)


async def _answer_one(
    kept: State, found: PackRow | Job, on_error: str, seconds: float, response: Response
) -> PackAnswer | JobAnswer:
    if isinstance(found, Job):
        response.status_code = 202
        found = await outcome(kept.jobs, found, seconds, response)
    answer = await _pack_or_job(kept, found, on_error)
    if isinstance(answer, PackAnswer):
        response.status_code = 200
        response.headers["Location"] = f"/v1/packs/{answer.pack_id}"
    return answer


async def _pack_or_job(kept: State, found: PackRow | Job, on_error: str) -> PackAnswer | JobAnswer:
    if isinstance(found, Job) and found.state == "succeeded":
        found = await run_sync(kept.catalogue.find_pack, found.spec["pack_id"], Sight(found.space))
        refuse_broken(found, on_error)  # the job may have been another's, who masks them
    return PackAnswer.of(found) if isinstance(found, PackRow) else JobAnswer.of(found)


@router.post("/estimate")
def estimate_jobs(request: JobRequest, kept: Kept, caller: Asking) -> Listing[EstimateAnswer]:
    """What a submission would cost, one item per tap. Computes nothing."""
    wanted = resolve(kept, caller, request)
    return Listing(items=[estimate(kept, wanted, r, request.on_error) for r in wanted.recipes])


@router.get("")
def list_jobs(
    kept: Kept,
    caller: Asking,
    state: Annotated[
        Literal["queued", "running", "succeeded", "failed", "cancelled"] | None, Query()
    ] = None,
    kind: Annotated[Kind | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Listing[JobAnswer]:
    """Jobs, newest first."""
    page = kept.jobs.page(caller.sight, state=state, kind=kind, cursor=cursor, limit=limit)
    return listing(page, JobAnswer.of)


@router.get("/{job_id}")
async def get_job(job_id: str, kept: Kept, caller: Asking, prefer: Prefer = None) -> JobAnswer:
    """State, progress, result or error of a job. ``Prefer: wait=N`` waits for its end."""
    job = await run_sync(kept.jobs.get, job_id, caller.sight)
    return JobAnswer.of(await wait_for(kept.jobs, job, wait_seconds(prefer)))


@router.post("/{job_id}/cancel")
def cancel_job(
    job_id: str,
    kept: Kept,
    caller: Asking,
    submitter: Annotated[str | None, Query(description="who withdraws")] = None,
    force: Annotated[bool, Query(description="cancel it whoever wants it")] = False,
) -> JobAnswer:
    """Withdraw one submitter, by name or one of the unnamed.

    When the last has withdrawn a queued job ends, and the worker of a running one is asked to
    stop; what it has done is kept for a while.
    """
    job = kept.jobs.get(job_id, caller.sight)
    caller.must_want(job, f"job {job_id}", force=force)
    return JobAnswer.of(kept.jobs.cancel(job_id, caller.submitter(submitter), force=force))


@router.post(
    "/{job_id}/retry",
    status_code=202,
    response_model=PackAnswer | JobAnswer,
    responses={200: {"model": PackAnswer, "description": "its pack is cached by now"}},
)
def retry_job(
    job_id: str,
    response: Response,
    kept: Kept,
    caller: Asking,
    submitter: Annotated[str | None, Query(description="who asks, as in POST /v1/jobs")] = None,
) -> PackAnswer | JobAnswer:
    """The same request again, after its job failed or was cancelled: 202 and another job."""
    found = retry(kept, caller, job_id, submitter)
    if isinstance(found, PackRow):
        response.status_code = 200
        response.headers["Location"] = f"/v1/packs/{found.pack_id}"
        return PackAnswer.of(found)
    response.headers["Location"] = f"/v1/jobs/{found.id}"
    return JobAnswer.of(found)


def existing_job(job_id: str, kept: Kept, caller: Asking) -> Job:
    """Looked up before the stream begins, while the answer can still be a problem."""
    return kept.jobs.get(job_id, caller.sight)


@router.get("/{job_id}/events", response_class=EventSourceResponse)
async def job_events(
    job: Annotated[Job, Depends(existing_job)], kept: Kept
) -> AsyncIterator[ServerSentEvent]:
    """The job as server-sent events, one whenever it changes; the last when it has ended."""
    yield ServerSentEvent(data=JobAnswer.of(job), event="job")
    while not job.is_final:
        await asyncio.sleep(EVENT_SECONDS)
        with suppress(Unavailable):  # the database is away; the stream goes on when it is back
            told, job = job, await run_sync(kept.jobs.get, job.id, EVERYTHING)
            if job != told:
                yield ServerSentEvent(data=JobAnswer.of(job), event="job")
