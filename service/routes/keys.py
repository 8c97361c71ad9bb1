"""``/v1/keys``: what teams come in with."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from cache.errors import InvalidRequest
from cache.keys import TEAM_NAME, KeyRow, KeyScope
from service import request as incoming
from service.answers import Listing, listing, utc
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.state import Kept

router = APIRouter(prefix="/v1/keys", tags=["keys"])

TeamName = Annotated[str, StringConstraints(pattern=rf"^{TEAM_NAME}$")]


class NewKey(incoming.Request):
    """A key for a team. ``read`` looks, ``submit`` asks for work too, ``admin`` does everything."""

    team: TeamName = Field(description="lower-case letters, digits, '.', '_' and '-', at most 50")
    scope: KeyScope
    note: str = Field("", max_length=200, description="for whom or for what it is")
    expires: AwareDatetime | None = Field(None, strict=False, description="null: never")


class KeyAnswer(BaseModel):
    """A key without its secret."""

    object: Literal["key"] = "key"
    key_id: str
    team: str
    scope: KeyScope
    note: str
    created: datetime | None
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None = Field(description="to the minute")

    @classmethod
    def of(cls, row: KeyRow) -> KeyAnswer:
        return cls(**_fields(row))


class CreatedKey(KeyAnswer):
    """A new key; nobody can be shown its ``key`` again."""

    key: str


@router.post("", status_code=201)
def create_key(wanted: NewKey, response: Response, kept: Kept) -> CreatedKey:
    """Make a key. The first one ends open access, and must be an admin's."""
    expires = None if wanted.expires is None else wanted.expires.timestamp()
    if expires is not None and expires <= time.time():
        raise InvalidRequest(
            "expires is in the past", value=str(wanted.expires), remedy="give a time to come"
        )
    ring = kept.keyring
    row, text = ring.keys.create(
        wanted.team, wanted.scope, wanted.note, expires, admin_first=not ring.has_admin_key
    )
    ring.forget()
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey(**_fields(row), key=text)


@router.get("")
def list_keys(
    kept: Kept, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Listing[KeyAnswer]:
    """All keys, newest first, revoked ones among them."""
    return listing(kept.keyring.keys.page(cursor=cursor, limit=limit), KeyAnswer.of)


@router.delete("/{key_id}")
def revoke_key(key_id: str, kept: Kept) -> KeyAnswer:
    """Revoke a key: from now on nobody comes in with it (by another service process, in a second).

    The last key of an admin stays, unless the operator has one of their own.
    """
    row = kept.keyring.keys.revoke(key_id, last_admin_too=kept.keyring.has_admin_key)
    kept.keyring.forget()
    return KeyAnswer.of(row)


def _fields(row: KeyRow) -> dict[str, object]:
    times = {name: utc(getattr(row, name)) for name in ("created", "expires", "revoked")}
    return vars(row) | times | {"last_used": utc(row.last_used)}
