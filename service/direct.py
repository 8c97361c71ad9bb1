"""Routes that answer in less than a millisecond: their functions get the request and nothing else.

FastAPI would find and check parameters by itself, but takes longer for it than such an answer does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, cast

from anyio.to_thread import run_sync
from fastapi import Request, Response
from fastapi.routing import APIRoute

from cache.pack import Pack
from cache.rows import PackRow
from service.caller import caller_of
from service.state import state_of

Make = Callable[[PackRow, Pack], Response]


class DirectRoute(APIRoute):
    """A route whose function takes the request and makes the response."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return cast("Callable[[Request], Coroutine[Any, Any, Response]]", self.endpoint)


async def answer(request: Request, make: Make, *, is_quick: bool) -> Response:
    """A response about the pack that the request's path names.

    It is made in a thread, unless the pack is open and it ``is_quick``.

    Raises:
        Busy: as many answers are being made as may be.
        NotFound, Conflict: no such pack that the caller may see, or it is damaged.
        Whatever ``make`` raises.
    """
    kept, caller = state_of(request), caller_of(request)
    sight = caller.sight
    pack_id = request.path_params["pack_id"]
    with kept.transfers.place(False, caller.team):
        at_hand = kept.shelf.at_hand(pack_id, sight) if is_quick else None
        if at_hand is not None:
            return make(*at_hand)
        return await run_sync(lambda: make(*kept.shelf.take(pack_id, sight)))
