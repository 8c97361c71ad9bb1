"""``/v1/weights``: checkpoints of your own."""

from __future__ import annotations

from typing import Annotated
from uuid import uuid4

from anyio.to_thread import run_sync
from fastapi import APIRouter, Form, Response, UploadFile

from cache import networks
from cache.job import Job, NewJob
from service.answers import Listing, listing
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.network_answers import CheckpointAnswer
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.state import Kept, State
from service.uploads import saved
from service.waiting import UPLOAD_WAIT_SECONDS, Prefer, outcome, wait_seconds

router = APIRouter(prefix="/v1/weights", tags=["weights"])


@router.post(
    "",
    status_code=201,
    response_model=CheckpointAnswer | JobAnswer,
    responses={202: {"model": JobAnswer, "description": "a worker still takes it in"}},
)
async def upload_weights(
    network: Annotated[str, Form(description="the network that the checkpoint belongs to")],
    file: UploadFile,
    response: Response,
    kept: Kept,
    caller: Asking,
    prefer: Prefer = None,
) -> CheckpointAnswer | JobAnswer:
    """Upload a state dict (``.pth``, loaded with ``weights_only=True``) or ``.safetensors``.

    It may lack layers behind the one you tap. One of another network is refused. All teams may use
    it.
    """
    info = networks.get(network)
    job = await run_sync(_submit, kept, caller, info.name, file)
    job = await outcome(kept.jobs, job, wait_seconds(prefer, UPLOAD_WAIT_SECONDS), response)
    if job.result is None:
        return JobAnswer.of(job)
    sha256 = job.result["weights"].removeprefix("sha256:")
    row = await run_sync(kept.catalogue.find_weights, sha256, info.name)
    return CheckpointAnswer.of(row)


def _submit(kept: State, caller: Caller, network: str, file: UploadFile) -> Job:
    with saved(kept.store, [file]) as uploads:
        spec = {"network": network, "uploads": uploads}
        owner, submitter = caller.owner(private=False), caller.submitter(None)
        new = NewJob("weights", f"weights:{uuid4().hex}", spec, owner, submitter=submitter)
        return kept.jobs.enqueue(new)


@router.get("")
def list_weights(
    kept: Kept, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Listing[CheckpointAnswer]:
    """Uploaded checkpoints."""
    return listing(kept.catalogue.weights(cursor=cursor, limit=limit), CheckpointAnswer.of)
