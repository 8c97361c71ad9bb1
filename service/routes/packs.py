"""``/v1/packs``: the catalogue, verification, the labs' files as packs."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import uuid4

from anyio.to_thread import run_sync
from fastapi import APIRouter, Form, Query, Response, UploadFile

from cache import publish
from cache.job import Job, NewJob
from cache.pack_listing import PackFilter, PackSort
from cache.sight import Owner
from service.about import about_pack
from service.answers import Health, PackAnswer
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.pack_answers import PackListing
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.schemas import Name
from service.state import Kept, State
from service.uploads import saved, size_of
from service.waiting import UPLOAD_WAIT_SECONDS, Prefer, outcome, wait_seconds

router = APIRouter(prefix="/v1/packs", tags=["packs"])


@router.get("")
def list_packs(
    kept: Kept,
    caller: Asking,
    q: Annotated[
        str, Query(description="words, each somewhere in network, dataset, tap or pack id")
    ] = "",
    network: Annotated[str | None, Query()] = None,
    dataset: Annotated[str | None, Query()] = None,
    tap: Annotated[str | None, Query(description="layer:pool, as packs tell it")] = None,
    recipe_id: Annotated[str | None, Query()] = None,
    pinned: Annotated[bool | None, Query()] = None,
    health: Annotated[Health | None, Query()] = None,
    sort: Annotated[PackSort, Query(description="accuracy is the best head's")] = "created",
    order: Annotated[Literal["desc", "asc"], Query()] = "desc",
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> PackListing:
    """Packs, newest first unless another order is asked for; ``total`` counts all pages.

    In brief: recipe, classes, provenance and the ids of invalid rows are in ``GET /v1/packs/{id}``.
    """
    sound = None if health is None else health == "sound"
    wanted = PackFilter(q, network, dataset, tap, recipe_id, pinned, sound)
    page = kept.catalogue.packs(
        caller.sight, wanted, sort=sort, descending=order == "desc", cursor=cursor, limit=limit
    )
    return PackListing.of(page, kept.catalogue.best_heads([row.pack_id for row in page.items]))


# Before the pack called import, for which 405 would name the wrong methods.
@router.post(
    "/import",
    status_code=201,
    response_model=PackAnswer | JobAnswer,
    responses={202: {"model": JobAnswer, "description": "a worker still takes it in"}},
)
async def import_pack(
    network: Annotated[Name, Form(description="what the features were made with, if known")],
    dataset: Annotated[Name, Form(description="what they were made of")],
    train: UploadFile,
    response: Response,
    kept: Kept,
    caller: Asking,
    validation: UploadFile | None = None,
    private: Annotated[bool, Form(description="seen by one's own team alone")] = False,
    prefer: Prefer = None,
) -> PackAnswer | JobAnswer:
    """Take in the labs' bottleneck pickles as a pack: imported, recipe unknown."""
    files = {"train": train} | ({"validation": validation} if validation is not None else {})
    owner = caller.owner(private=private)
    job = await run_sync(_submit_import, kept, caller, owner, network, dataset, files)
    job = await outcome(kept.jobs, job, wait_seconds(prefer, UPLOAD_WAIT_SECONDS), response)
    if job.result is None:
        return JobAnswer.of(job)
    return PackAnswer.of(
        await run_sync(kept.catalogue.find_pack, job.result["pack_id"], caller.sight)
    )


@router.get("/{pack_id}")
def get_pack(pack_id: str, kept: Kept, caller: Asking) -> PackAnswer:
    """One pack: its recipe, dataset, shape and provenance with the certificate."""
    return PackAnswer.of(kept.catalogue.find_pack(pack_id, caller.sight))


@router.delete("/{pack_id}", status_code=204)
def delete_pack(pack_id: str, kept: Kept, caller: Asking) -> None:
    """Delete a pack and its heads. Whoever reads it now may finish."""
    own_pack(kept, caller, pack_id)
    publish.delete_pack(kept.catalogue, kept.store, pack_id)
    kept.shelf.forget(pack_id)


@router.put("/{pack_id}/pin")
def pin_pack(pack_id: str, kept: Kept, caller: Asking) -> PackAnswer:
    """Keep a pack for good: it is never evicted to make room for others."""
    own_pack(kept, caller, pack_id)
    return PackAnswer.of(kept.catalogue.pin_pack(pack_id, True))


@router.delete("/{pack_id}/pin")
def unpin_pack(pack_id: str, kept: Kept, caller: Asking) -> PackAnswer:
    """Let a pack be evicted again when it is the least recently used one and room is needed."""
    own_pack(kept, caller, pack_id)
    return PackAnswer.of(kept.catalogue.pin_pack(pack_id, False))


@router.post(
    "/{pack_id}/verify",
    status_code=202,
    responses={200: {"model": JobAnswer, "description": "it is done"}},
)
async def verify_pack(
    pack_id: str,
    response: Response,
    kept: Kept,
    caller: Asking,
    rows: Annotated[
        int | None, Query(ge=1, description="extract so many random rows again and compare them")
    ] = None,
    prefer: Prefer = None,
) -> JobAnswer:
    """Hash the whole pack again: 200 and the job if it is sound, a problem if not, else 202.

    A pack that is not sound is quarantined: it is built anew when it is asked for again.
    """
    job = await run_sync(_submit_verify, kept, caller, pack_id, rows)
    job = await outcome(kept.jobs, job, wait_seconds(prefer), response)
    if job.is_final:
        response.status_code = 200
    return JobAnswer.of(job)


def _submit_verify(kept: State, caller: Caller, pack_id: str, rows: int | None) -> Job:
    row = kept.catalogue.find_sound_pack(pack_id, caller.sight)
    kept.catalogue.touch_pack(pack_id)  # not to be evicted before its job is there
    spec = {"pack_id": pack_id, "rows": rows} | about_pack(row)
    key = f"verify:{pack_id}:{rows or 0}"
    owner, submitter = caller.within(row.space), caller.submitter(None)
    return kept.jobs.enqueue(NewJob("verify", key, spec, owner, submitter=submitter))


def own_pack(kept: State, caller: Caller, pack_id: str) -> None:
    """Raises NotFound: there is no such pack to be seen. Forbidden: it is another team's."""
    row = kept.catalogue.find_pack(pack_id, caller.sight)
    caller.must_own(row.team, f"pack {pack_id}")


def _submit_import(
    kept: State,
    caller: Caller,
    owner: Owner,
    network: str,
    dataset: str,
    files: dict[str, UploadFile],
) -> Job:
    with saved(kept.store, list(files.values())) as uploads:
        parts = [upload | {"split": split} for split, upload in zip(files, uploads, strict=True)]
        spec = {"network": network, "dataset": dataset, "uploads": parts}
        key, submitter = f"import:{uuid4().hex}", caller.submitter(None)
        stores = size_of(uploads)
        return kept.jobs.enqueue(
            NewJob("import", key, spec, owner, submitter=submitter, stores=stores)
        )
