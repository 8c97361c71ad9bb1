"""``/v1/heads/{id}/predict`` and ``/v1/networks/{name}/classify``: what is in these images?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import uuid4

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request, Response
from starlette.datastructures import UploadFile

from cache.errors import InvalidRequest, NotFound, TooLarge
from cache.job import Job, NewJob
from cache.recipe import Recipe
from cache.rows import HeadRow
from cache.sight import Owner
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.problems import validated
from service.reading import numbers
from service.request import body_schema
from service.resolve import resolve_classifier
from service.schemas import RowsRequest
from service.selection import Selection
from service.state import Kept, State
from service.uploads import FORM_LIMITS, saved
from service.waiting import UPLOAD_WAIT_SECONDS, Prefer, outcome, wait_seconds

router = APIRouter(prefix="/v1")

MAX_CLASSES_ANSWERED = 20_000
"""Classes in one answer, over all images: it is kept with its job, and takes about a megabyte."""

Top = Annotated[int, Query(ge=1, le=1000, description="so many classes of each image")]

_IMAGES = {
    "schema": {
        "type": "object",
        "required": ["file"],
        "properties": {
            "file": {"type": "array", "items": {"type": "string", "format": "binary"}},
        },
    }
}

_DONE: dict[int | str, dict[str, Any]] = {200: {"model": JobAnswer, "description": "it is done"}}


def _body(**others: Any) -> dict[str, Any]:
    content = {"multipart/form-data": _IMAGES} | others
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/heads/{head_id}/predict",
    status_code=202,
    tags=["heads"],
    responses=_DONE,
    openapi_extra=_body(**{"application/json": {"schema": body_schema(RowsRequest)}}),
)
async def predict(
    head_id: str,
    request: Request,
    response: Response,
    kept: Kept,
    caller: Asking,
    top: Top = 5,
    prefer: Prefer = None,
) -> JobAnswer:
    """Classify images, or rows of the head's pack.

    Images (multipart, parts named ``file``) go through the recipe of the head's pack, then the
    head. Rows (JSON, as for ``/v1/packs/{id}/rows``) are there already. Waits up to 30 seconds:
    200 and the job, whose ``result`` has the predictions, else 202.
    """
    head = await run_sync(kept.catalogue.find_head, head_id, caller.sight)
    if request.headers.get("content-type", "").lower().startswith("application/json"):
        asked = await validated(request, RowsRequest)
        job = await run_sync(_submit_rows, kept, caller, head, asked.selection(), top)
    else:
        async with _images(request, top) as files:
            spec = {"head_id": head.head_id, "top": top}
            job = await run_sync(
                _submit_images, kept, caller, caller.own(head.space), "predict", files, spec
            )
    return await _answer(kept, job, prefer, response)


@router.post(
    "/networks/{name}/classify",
    status_code=202,
    tags=["networks"],
    responses=_DONE,
    openapi_extra=_body(),
)
async def classify(
    name: str,
    request: Request,
    response: Response,
    kept: Kept,
    caller: Asking,
    top: Top = 5,
    weights: Annotated[str, Query(description="as in POST /v1/jobs")] = "default",
    prefer: Prefer = None,
) -> JobAnswer:
    """Classify images into ImageNet's 1,000 classes by the frozen network itself.

    They go through the weights' official transform. Waits up to 30 seconds: 200 and the job, whose
    ``result`` has the predictions, else 202.
    """
    recipe: Recipe = await run_sync(resolve_classifier, kept, name, weights)
    async with _images(request, top) as files:
        spec = {"recipe": recipe.as_dict(), "top": top}
        job = await run_sync(_submit_images, kept, caller, caller.own(), "classify", files, spec)
    return await _answer(kept, job, prefer, response)


@asynccontextmanager
async def _images(request: Request, top: int) -> AsyncIterator[list[UploadFile]]:
    """The parts named ``file``, until the block ends."""
    async with request.form(**FORM_LIMITS) as form:
        files = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
        if not files:
            raise InvalidRequest("no image was sent", value=None, remedy="send parts named 'file'")
        _check_size(len(files), top)
        yield files


def _submit_images(
    kept: State,
    caller: Caller,
    owner: Owner,
    kind: str,
    files: Sequence[UploadFile],
    spec: dict[str, Any],
) -> Job:
    with saved(kept.store, files) as uploads:
        key, submitter = f"{kind}:{uuid4().hex}", caller.submitter(None)
        new = NewJob(kind, key, spec | {"uploads": uploads}, owner, submitter=submitter)
        return kept.jobs.enqueue(new)


def _submit_rows(kept: State, caller: Caller, head: HeadRow, selection: Selection, top: int) -> Job:
    try:
        _, pack = kept.shelf.take(head.pack_id, caller.sight)
    except NotFound as error:
        raise NotFound(
            f"the pack {head.pack_id} of head {head.head_id} is gone: it was evicted",
            value=head.pack_id,
            remedy="submit its network and dataset again with POST /v1/jobs, which builds the "
            "same pack; images can be classified without it",
        ) from error
    rows = selection.rows(pack)
    _check_size(len(rows), min(top, len(pack.classes)))
    spec = {"head_id": head.head_id, "rows": numbers(rows).tolist(), "top": top}
    key, owner = f"predict:{uuid4().hex}", caller.own(head.space)
    return kept.jobs.enqueue(NewJob("predict", key, spec, owner, submitter=caller.submitter(None)))


def _check_size(images: int, top: int) -> None:
    if images * top > MAX_CLASSES_ANSWERED:
        raise TooLarge(
            f"{top} classes of {images} images are more than {MAX_CLASSES_ANSWERED} in one answer",
            value=images * top,
            remedy=f"ask for at most {MAX_CLASSES_ANSWERED // top} images at once, or a smaller "
            "top",
        )


async def _answer(kept: State, job: Job, prefer: str | None, response: Response) -> JobAnswer:
    job = await outcome(kept.jobs, job, wait_seconds(prefer, UPLOAD_WAIT_SECONDS), response)
    if job.result is not None:
        response.status_code = 200
    return JobAnswer.of(job)
