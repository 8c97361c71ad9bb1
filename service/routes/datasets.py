"""``/v1/datasets``: register images, see what is registered."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote
from uuid import uuid4

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from cache.errors import Conflict, InvalidRequest
from cache.identity import blake2b_hex, canonical_json
from cache.job import Job, NewJob
from cache.sight import EVERYTHING, Owner, Sight
from service.answers import DatasetAnswer, Listing, listing
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.problems import validated
from service.request import body_schema
from service.schemas import DatasetRequest, Name
from service.state import Kept, State
from service.uploads import FORM_LIMITS, Upload, saved, size_of
from service.waiting import UPLOAD_WAIT_SECONDS, Prefer, outcome, wait_seconds

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": body_schema(DatasetRequest)},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["name", "file"],
                    "properties": {
                        "name": {"type": "string"},
                        "private": {
                            "type": "boolean",
                            "description": "seen by one's own team alone, with all that is made "
                            "of it",
                        },
                        "file": {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "description": "one archive (.zip, .tar, .tar.gz), or .npz, .h5 or "
                            "pickle files of images and labels",
                        },
                    },
                }
            },
        },
    }
}


@router.post(
    "",
    status_code=201,
    openapi_extra=_BODY,
    response_model=DatasetAnswer | JobAnswer,
    responses={202: {"model": JobAnswer, "description": "a worker still takes it in"}},
)
async def register(
    request: Request, response: Response, kept: Kept, caller: Asking, prefer: Prefer = None
) -> DatasetAnswer | JobAnswer:
    """Register a source (JSON) or upload images (multipart).

    Waits up to 30 seconds for a worker to take the images in: 201 and the version, or a problem
    that says what is wrong with them. Longer work answers 202 with the job.
    """
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form(**FORM_LIMITS | {"max_files": 100}) as form:
            job = await run_sync(_submit_upload, kept, caller, form)
    else:
        wanted = await validated(request, DatasetRequest)
        source, where = wanted.source.model_dump(), caller.owner(private=wanted.private)
        job = await run_sync(_submit, kept, caller, where, wanted.name, source, [])
    job = await outcome(kept.jobs, job, wait_seconds(prefer, UPLOAD_WAIT_SECONDS), response)
    if job.result is None:
        return JobAnswer.of(job)
    name, version = job.result["dataset"], job.result["version"]
    response.headers["Location"] = f"/v1/datasets/{quote(name)}"
    found = Sight(job.space)
    row = await run_sync(kept.catalogue.find_dataset, f"{name}@{version}", found)
    return DatasetAnswer.of(row)


def _submit_upload(kept: State, caller: Caller, form: FormData) -> Job:
    files = [part for part in form.getlist("file") if isinstance(part, UploadFile)]
    if not files:
        raise InvalidRequest(
            "the form has no file", value=list(form), remedy="send the parts 'name' and 'file'"
        )
    try:
        name = TypeAdapter(Name).validate_python(form.get("name"))
    except ValidationError as error:
        raise InvalidRequest(
            f"the dataset's name is {form.get('name')!r}",
            value=form.get("name"),
            remedy="send a part 'name': letters, digits, '_', '.', '-', at most 100",
        ) from error
    where = caller.owner(private=_is_private(form))
    with saved(kept.store, files) as uploads:
        return _submit(kept, caller, where, name, {"kind": "upload"}, uploads)


def _is_private(form: FormData) -> bool:
    try:
        return TypeAdapter(bool).validate_python(form.get("private", False))
    except ValidationError as error:
        raise InvalidRequest(
            f"the part 'private' is {form['private']!r}",
            value=str(form["private"]),
            remedy="send true or false, or leave it out",
        ) from error


def _submit(
    kept: State,
    caller: Caller,
    where: Owner,
    name: str,
    source: dict[str, Any],
    uploads: list[Upload],
) -> Job:
    """The same source under the same name at the same time is one job; uploads never are.

    Raises:
        Forbidden: the name is another team's.
    """
    owner = _owner_of_name(kept, caller, where, name)
    once = uuid4().hex if uploads else blake2b_hex(canonical_json(source))
    key = f"ingest:{where.space}/{name}:{once}" if where.space else f"ingest:{name}:{once}"
    spec = {
        "name": name,
        "source": source,
        "uploads": uploads,
        "max_bytes": kept.settings.max_upload_bytes,
    }
    stores, submitter = size_of(uploads), caller.submitter(None)
    return kept.jobs.enqueue(NewJob("ingest", key, spec, owner, submitter=submitter, stores=stores))


def _owner_of_name(kept: State, caller: Caller, where: Owner, name: str) -> Owner:
    """Whose a new version will be: the name's, if it is taken already. Raises Forbidden."""
    versions = kept.catalogue.dataset_versions(where.space, name)
    if not versions:
        return where
    caller.must_own(versions[0].team, f"the shared dataset {name!r}")
    return Owner(where.space, versions[0].team)


@router.get("")
def list_datasets(
    kept: Kept, caller: Asking, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Listing[DatasetAnswer]:
    """The newest version of every dataset."""
    return listing(
        kept.catalogue.datasets(caller.sight, cursor=cursor, limit=limit), DatasetAnswer.of
    )


@router.get("/{name}")
def get_dataset(name: str, kept: Kept, caller: Asking) -> DatasetAnswer:
    """A dataset by name (its newest version), or by ``name@version``."""
    row = kept.catalogue.find_dataset(name, caller.sight)
    versions = kept.catalogue.dataset_versions(row.space, row.name)
    return DatasetAnswer.of(row, [version.version for version in versions])


@router.delete("/{name}", status_code=204)
def delete_dataset(name: str, kept: Kept, caller: Asking) -> None:
    """Forget all versions of a dataset and the images that only it has. Packs stay."""
    row = kept.catalogue.find_dataset(name, caller.sight)
    caller.must_own(row.team, f"the dataset {row.name!r}")
    extracting = [
        job
        for job in kept.jobs.all_active(EVERYTHING, "extract")
        if job.spec["dataset"]["name"] == row.name
    ]
    using = [job.id for job in extracting if caller.sight.sees(job.space)]
    if using:
        raise Conflict(
            f"dataset {row.name!r} is being extracted",
            value=using,
            remedy="wait for those jobs or cancel them",
        )
    forgotten = kept.catalogue.delete_dataset(row.space, row.name)
    if not extracting:  # jobs of others may need the images: then a sweep removes them later
        for dataset_id in forgotten:
            kept.store.remove_dataset(dataset_id)
