"""Before everything else: who asks, and may that one? Bodies are not read until this is known.

A key comes as ``Authorization: Bearer``, or in the cookie that ``POST /v1/session`` gives a
browser. Browsers send cookies along with what other sites make them ask for, so a write by cookie
must prove that it comes from our own page (Fetch Metadata, or Origin).
"""

from __future__ import annotations

import hmac
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cache.errors import FeaturepackError, Forbidden, Unauthorised, Unavailable
from cache.keys import KeyScope, digest_of
from service.access import SAFE, need_of
from service.caller import PLACE, Caller
from service.keyring import Keyring
from service.problems import problem

COOKIE: Final = "featurepack_session"

_COOKIE: Final = COOKIE.encode() + b"="
_TOLD: Final = (b"authorization", b"cookie", b"sec-fetch-site", b"origin", b"host")


@dataclass(frozen=True)
class Shown:
    """What a request shows; ``from_own_page`` is None where it does not tell."""

    key: str | None
    by_cookie: bool
    from_own_page: bool | None


def shown(scope: Scope) -> Shown:
    """Raises Unauthorised: Authorization is something else than a key."""
    told = {name: value for name, value in scope["headers"] if name in _TOLD}
    own = _from_own_page(told) if scope["method"] not in SAFE else None
    if b"authorization" in told:
        kind, _, key = told[b"authorization"].decode("latin-1").partition(" ")
        if kind.lower() != "bearer" or not key.strip():
            raise Unauthorised("Authorization is no key", remedy="send Authorization: Bearer KEY")
        return Shown(key.strip(), by_cookie=False, from_own_page=own)
    for pair in told.get(b"cookie", b"").split(b";"):
        if pair.strip().startswith(_COOKIE):
            key = pair.strip()[len(_COOKIE) :].decode("latin-1")
            return Shown(key, by_cookie=True, from_own_page=own)
    return Shown(None, by_cookie=False, from_own_page=own)


def _from_own_page(told: dict[bytes, bytes]) -> bool | None:
    if site := told.get(b"sec-fetch-site"):
        return site == b"same-origin"
    if origin := told.get(b"origin"):
        return origin.partition(b"://")[2].lower() == told.get(b"host", b"").lower()
    return None


class Entrance:
    """Lets in who may, and notes who that is."""

    def __init__(self, app: ASGIApp, keyring: Keyring, metrics_key: str | None) -> None:
        self.app = app
        self.keyring = keyring
        self._metrics_digest = None if metrics_key is None else digest_of(metrics_key)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._let_in(scope)
        except FeaturepackError as error:
            await problem(error, Request(scope))(scope, receive, send)
            return
        if caller is None:
            await self.app(scope, receive, send)
            return
        scope[PLACE] = caller
        await self.app(scope, receive, send)
        if self.keyring.is_note_due(caller):
            with suppress(Unavailable):
                await run_sync(self.keyring.note_use, caller)

    async def _let_in(self, scope: Scope) -> Caller | None:
        """Who asks; None where nobody need be known.

        Raises:
            Unauthorised: no key that holds.
            Forbidden: the key allows less, or another site's page made the browser ask.
            Unavailable: the database does not answer.
        """
        need = need_of(scope["method"], scope["path"])
        if need == "nothing" and scope["method"] in SAFE:
            return None
        found = shown(scope)
        if scope["method"] not in SAFE and (found.key is None or found.by_cookie):
            _refuse_foreign_pages(found)
        if need == "nothing":
            return None
        if need == "metrics":
            if self._is_metrics_key(found.key):
                return None
            need = "admin"
        caller = self.keyring.at_hand(found.key)
        if caller is None:
            caller = await run_sync(self.keyring.find, found.key)
        if not caller.may(need):
            raise _too_little(caller, need)
        return caller

    def _is_metrics_key(self, key: str | None) -> bool:
        if self._metrics_digest is None or key is None:
            return False
        return hmac.compare_digest(digest_of(key), self._metrics_digest)


def _refuse_foreign_pages(found: Shown) -> None:
    """Raises Forbidden. Without a cookie there may be no browser at all, which tells nothing."""
    if found.from_own_page is False or (found.by_cookie and found.from_own_page is None):
        raise Forbidden(
            "another site's page asked for this",
            remedy="use the service's own page; programs send Authorization: Bearer KEY",
        )


def _too_little(caller: Caller, need: KeyScope) -> Forbidden:
    return Forbidden(
        f"the key's scope is {caller.scope!r}, and this needs {need!r}",
        value=caller.scope,
        remedy=f"use a key of scope {need!r}; an admin makes them",
    )
