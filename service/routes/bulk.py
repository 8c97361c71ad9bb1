"""``/v1/packs/delete|pin``: the same for many packs, and an answer for each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from cache import publish
from cache.errors import Forbidden, NotFound
from service import request as incoming
from service.answers import Listing
from service.audited import note
from service.caller import Asking
from service.problems import Problem, document
from service.routes.packs import own_pack
from service.state import Kept

router = APIRouter(prefix="/v1/packs", tags=["packs"])

MOST = 500

PackIds = Annotated[list[str], Field(min_length=1, max_length=MOST)]


class PacksRequest(incoming.Request):
    """Some packs. One that is named twice is done once, and not there the second time."""

    pack_ids: PackIds


class PinRequest(PacksRequest):
    """``pinned`` false lets them be evicted again."""

    pinned: bool = True


class Done(BaseModel):
    """What became of one pack."""

    pack_id: str
    done: bool
    problem: Problem | None


@router.post("/delete")
def delete_packs(body: PacksRequest, request: Request, kept: Kept, caller: Asking) -> Listing[Done]:
    """Delete packs and their heads, at most 500 at once, as ``DELETE /v1/packs/{id}`` does one.

    Packs that are not there, or are another team's, do not keep the others.
    """

    def delete(pack_id: str) -> None:
        own_pack(kept, caller, pack_id)
        publish.delete_pack(kept.catalogue, kept.store, pack_id)
        kept.shelf.forget(pack_id)

    return _each(body.pack_ids, request, delete)


@router.post("/pin")
def pin_packs(body: PinRequest, request: Request, kept: Kept, caller: Asking) -> Listing[Done]:
    """Pin packs, or let them be evicted again, at most 500 at once."""

    def pin(pack_id: str) -> None:
        own_pack(kept, caller, pack_id)
        kept.catalogue.pin_pack(pack_id, body.pinned)

    return _each(body.pack_ids, request, pin)


def _each(pack_ids: list[str], request: Request, do: Callable[[str], object]) -> Listing[Done]:
    """One transaction for each, so that others of the service come between them."""
    note(request, pack_ids)
    answers = []
    for pack_id in pack_ids:
        problem = None
        try:
            do(pack_id)
        except (NotFound, Forbidden) as error:
            problem = Problem(**document(error, request))
        answers.append(Done(pack_id=pack_id, done=problem is None, problem=problem))
    return Listing(items=answers)
