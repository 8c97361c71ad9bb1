"""``/v1/audit``: who wrote what. For admins: it names what is private to teams."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from cache.audit import AuditRow
from service.answers import Listing, listing, utc
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.state import Kept

router = APIRouter(prefix="/v1/audit", tags=["audit"])


class WriteAnswer(BaseModel):
    """A request that changed something, or was to; ``status`` 0: it ended without an answer.

    ``team`` and ``key_id`` are null where no key was needed. ``named``: the place of what was made,
    and what the body listed.
    """

    object: Literal["write"] = "write"
    audit_id: str
    created: datetime | None
    team: str | None
    key_id: str | None
    address: str
    request_id: str
    method: str
    path: str
    status: int
    named: list[str]

    @classmethod
    def of(cls, row: AuditRow) -> WriteAnswer:
        return cls(**(vars(row) | {"created": utc(row.created)}))


@router.get("")
def list_writes(
    kept: Kept,
    team: Annotated[str | None, Query()] = None,
    key_id: Annotated[str | None, Query()] = None,
    about: Annotated[
        str | None, Query(description="part of a path or of a name, such as a pack's id")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Listing[WriteAnswer]:
    """Writes, newest first, kept for 400 days. Refused ones are among them, but for 401 and 429."""
    page = kept.audit.page(team=team, key_id=key_id, about=about, cursor=cursor, limit=limit)
    return listing(page, WriteAnswer.of)
