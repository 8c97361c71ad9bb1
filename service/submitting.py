"""A recipe and a dataset → the job that builds their pack; and what a cached pack must be."""

from __future__ import annotations

from functools import partial

from cache.errors import Conflict, CorruptData
from cache.job import Job, NewJob
from cache.recipe import Recipe
from cache.rows import PackRow
from service.caller import Caller
from service.estimate import bytes_to_store
from service.resolve import Wanted
from service.schemas import JobRequest
from service.state import State


def extraction(
    kept: State, wanted: Wanted, recipe: Recipe, request: JobRequest, caller: Caller
) -> NewJob:
    """The job; those of one request's taps are done by one forward pass."""
    pack_id, dataset_id = wanted.pack_id(recipe), wanted.images.dataset_id
    is_limited = kept.allowances.known(caller.team).stored_bytes is not None
    return NewJob(
        kind="extract",
        key=extraction_key(pack_id),
        spec={
            "pack_id": pack_id,
            "recipe": recipe.as_dict(),
            "dataset_id": dataset_id,
            "dataset": wanted.dataset,
            "on_error": request.on_error,
        },
        owner=caller.within(wanted.space),
        together=f"{recipe.forward_id}-{dataset_id}-{request.on_error}",
        priority=request.priority,
        submitter=caller.submitter(request.submitter),
        stores=bytes_to_store(kept, wanted, recipe) if is_limited else 0,
    )


def extraction_key(pack_id: str) -> str:
    return f"extract:{pack_id}"


def submit_pack(
    kept: State, caller: Caller, wanted: Wanted, recipe: Recipe, request: JobRequest
) -> PackRow | Job:
    """The cached pack, or the job that builds it: one that is active already, or a new one.

    Raises:
        Conflict: another pack has the id.
        QuotaExceeded, StorageFull: the team may not have another job, or not of this size.
        CorruptData: the cached pack has broken images, and the request says that they are errors.
    """
    kept.views.keep(wanted.row, wanted.view, wanted.space, wanted.images)
    hit, team = kept.catalogue.hit, caller.team
    find = partial(hit, pack_id=wanted.pack_id(recipe), store=kept.store, team=team)
    found = kept.jobs.submit(extraction(kept, wanted, recipe, request, caller), find)
    if isinstance(found, PackRow):
        check_hit(found, recipe, wanted.images.dataset_id)
        refuse_broken(found, request.on_error)
    return found


def check_hit(row: PackRow, recipe: Recipe, dataset_id: str) -> None:
    """A pack id is cut short; a hit is one only if the whole ids agree. Raises Conflict."""
    if (row.recipe_id, row.dataset_id) != (recipe.recipe_id, dataset_id):
        raise Conflict(
            f"another pack has the id {row.pack_id}",
            value=row.pack_id,
            remedy="delete that pack, or change the request",
        )


def refuse_broken(row: PackRow, on_error: str) -> None:
    """Raises CorruptData."""
    if on_error == "fail" and row.invalid_rows:
        raise CorruptData(
            f"{len(row.invalid_rows)} images of the pack could not be decoded",
            value=row.invalid_rows[:100],
            remedy="repair or remove them, or submit with on_error 'mask'",
        )
