"""``/v1/session``: a browser comes in with a key, and keeps it in a cookie that no script reads."""

from __future__ import annotations

from typing import Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from cache.errors import Unauthorised
from cache.keys import KeyScope
from service import request as incoming
from service.caller import Caller
from service.entrance import COOKIE, shown
from service.state import Kept

router = APIRouter(prefix="/v1/session", tags=["keys"])


class SignIn(incoming.Request):
    key: str = Field(max_length=1000)


class SessionAnswer(BaseModel):
    """Who one is; ``scope`` null: nobody yet. ``open``: no key is needed here."""

    object: Literal["session"] = "session"
    team: str | None
    scope: KeyScope | None
    open: bool

    @classmethod
    def of(cls, caller: Caller) -> SessionAnswer:
        return cls(team=caller.team, scope=caller.scope, open=caller.key_id is None)


@router.get("")
async def get_session(request: Request, response: Response, kept: Kept) -> SessionAnswer:
    """Who one is, by the key or the cookie that came along."""
    response.headers["Cache-Control"] = "no-store"
    try:
        caller = await run_sync(kept.keyring.find, shown(request.scope).key)
    except Unauthorised:
        return SessionAnswer(team=None, scope=None, open=False)
    return SessionAnswer.of(caller)


@router.post("")
async def sign_in(given: SignIn, request: Request, response: Response, kept: Kept) -> SessionAnswer:
    """Come in with a key: the answer's cookie stands for it from now on. 401 if it is none."""
    response.headers["Cache-Control"] = "no-store"
    caller = await run_sync(kept.keyring.find, given.key)
    if caller.key_id is not None:
        response.set_cookie(
            COOKIE,
            given.key,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
    return SessionAnswer.of(caller)


@router.delete("", status_code=204)
async def sign_out(response: Response) -> None:
    """Take the cookie away; the key goes on to hold."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
