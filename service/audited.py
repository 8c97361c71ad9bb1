"""Around every request that may change something: who, what, from where, and what came of it.

It is noted after the answer, so nobody waits for it; where the database is away, in the log.
Requests without a known caller (401) and beyond an allowance (429) are in the access log alone:
whoever has no key cannot fill the table.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cache.audit import Audit, Write
from cache.errors import FeaturepackError
from cache.origin import current
from service.access import READING_POSTS, SAFE
from service.caller import PLACE, Caller

log = logging.getLogger("featurepack.audit")

UNTOLD: Final = (401, 429)
MAX_PATH: Final = 1000

_NAMED: Final = "featurepack.audited"


def note(request: Request, names: Sequence[str]) -> None:
    """What a body names belongs to the record of this request."""
    request.scope[_NAMED] = list(names)


class Audited:
    """ASGI. Notes writes in ``audit``."""

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self.app = app
        self.audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reads = scope["type"] != "http" or scope["method"] in SAFE
        if reads or READING_POSTS.match(scope["path"]):
            await self.app(scope, receive, send)
            return
        status, place = 0, ""

        async def told(message: Message) -> None:
            nonlocal status, place
            if message["type"] == "http.response.start":
                status = message["status"]
                found = (value for name, value in message["headers"] if name == b"location")
                place = next(found, b"").decode("latin-1")
            await send(message)

        try:
            await self.app(scope, receive, told)
        finally:
            if "route" in scope and status not in UNTOLD:
                write = _write(scope, status, [place] if place else [])
                await run_sync(self._keep, write)

    def _keep(self, write: Write) -> None:
        try:
            self.audit.add(write)
        except FeaturepackError as error:
            log.error("not in the table (%s): %s", error.message, write)


def _write(scope: Scope, status: int, places: list[str]) -> Write:
    caller: Caller | None = scope.get(PLACE)
    client = scope.get("client")
    return Write(
        team=getattr(caller, "team", None),
        key_id=getattr(caller, "key_id", None),
        address=client[0] if client else "",
        request_id=current().request_id,
        method=scope["method"],
        path=scope["path"][:MAX_PATH].encode("utf-8", "replace").decode().replace("\0", "?"),
        status=status,
        named=[*places, *scope.get(_NAMED, ())],
    )
