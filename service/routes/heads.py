"""``/v1/heads``: train, compare."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response

from cache.errors import NotFound
from cache.head_ids import head_id_of, head_job_key
from cache.job import Job, NewJob
from cache.rows import HeadRow
from service.about import about_pack
from service.answers import HeadAnswer, Listing, listing
from service.caller import Asking, Caller
from service.head_requests import HeadRequest
from service.job_answers import JobAnswer
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.state import Kept, State
from service.waiting import Prefer, outcome, wait_seconds

router = APIRouter(prefix="/v1/heads", tags=["heads"])


@router.post(
    "",
    status_code=202,
    response_model=HeadAnswer | JobAnswer,
    responses={200: {"model": HeadAnswer, "description": "trained before, or waited for"}},
)
async def train(
    request: HeadRequest,
    response: Response,
    kept: Kept,
    caller: Asking,
    prefer: Prefer = None,
) -> HeadAnswer | JobAnswer:
    """Train a head: 200 and the head if the same was trained before, else 202 and the job.

    ``method`` is ``lab``, ``linear``, ``ridge``, ``knn``, ``mlp`` or ``centroid``; each has its own
    ``params``. What each does and what ``metrics`` say: docs/heads.md.
    """
    found = await run_sync(_submit, kept, caller, request)
    if isinstance(found, Job):
        job = await outcome(kept.jobs, found, wait_seconds(prefer), response)
        if job.result is None:
            return JobAnswer.of(job)
        found = await run_sync(kept.catalogue.find_head, job.result["head_id"], caller.sight)
    response.status_code = 200
    response.headers["Location"] = f"/v1/heads/{found.head_id}"
    return HeadAnswer.of(found)


def _submit(kept: State, caller: Caller, request: HeadRequest) -> HeadRow | Job:
    row = kept.catalogue.find_sound_pack(request.pack_id, caller.sight)
    kept.catalogue.touch_pack(row.pack_id)  # not to be evicted before its job is there
    for split in (request.train, request.validation):
        if split is not None and split not in row.splits:
            raise NotFound(
                f"pack {row.pack_id} has no split {split!r}",
                value=split,
                remedy=f"use one of: {', '.join(row.splits)}; validation may be null, and "
                "view.validation splits one off when the pack is submitted",
            )
    spec = request.model_dump(exclude_none=True) | {"validation": request.validation}
    head_id = head_id_of(spec, row.etag)
    named = spec | {"etag": row.etag, "head_id": head_id} | about_pack(row)
    owner, submitter = caller.within(row.space), caller.submitter(None)
    new = NewJob("head", head_job_key(spec), named, owner, submitter=submitter)
    return kept.jobs.submit(new, partial(_trained, kept, head_id))


def _trained(kept: State, head_id: str, connection: Any) -> HeadRow | None:
    """The head, if its file is there."""
    return (
        kept.catalogue.head_in(connection, head_id) if kept.store.head(head_id).exists() else None
    )


@router.get("")
def list_heads(
    kept: Kept,
    caller: Asking,
    pack_id: Annotated[str | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Listing[HeadAnswer]:
    """Heads, newest first, without curves, evaluation, trust and label noise."""
    page = kept.catalogue.heads(caller.sight, pack_id=pack_id, cursor=cursor, limit=limit)
    return listing(page, HeadAnswer.brief)


@router.get("/{head_id}")
def get_head(head_id: str, kept: Kept, caller: Asking) -> HeadAnswer:
    """A head's settings and everything that is known of it."""
    return HeadAnswer.of(kept.catalogue.find_head(head_id, caller.sight))
