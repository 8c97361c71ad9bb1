"""A response that is read from a pack's file piece by piece, in threads, while it is sent.

The file is open, and kept from eviction, until the last byte is sent or the client is gone. A piece
is read while the one before is on its way, and sent when that is, so about two are in memory
whatever the size. A client that stops reading is dropped by the system (service/__main__.py), which
ends the wait for it like any other end of a connection.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from anyio import CancelScope, CapacityLimiter, create_task_group
from anyio.to_thread import run_sync
from fastapi import Response
from starlette.types import Receive, Scope, Send

from cache.errors import NotFound
from cache.pack import Pack, file_id
from cache.store import Store
from service.reading import Buffer
from service.transfers import LARGE_BYTES, Transfers


@dataclass(frozen=True)
class Source:
    """What to send: ``pieces`` makes it from an open handle of the pack's file.

    ``length`` is in bytes and None where only the end tells; ``weight`` says about how many bytes
    have to be read.
    """

    store: Store
    pack_id: str
    pack: Pack
    pieces: Callable[[int], Iterator[Buffer]]
    length: int | None
    weight: int


@dataclass
class _Held:
    """An open file and the pieces that are left of it. To be used by one thread at a time."""

    source: Source
    resources: ExitStack = field(default_factory=ExitStack)
    pieces: Iterator[Buffer] = field(init=False)

    def open(self) -> Buffer | None:
        """Open and lock the file; the first piece."""
        source = self.source
        try:
            handle = self.resources.enter_context(source.store.reading(source.pack_id))
        except FileNotFoundError as error:
            raise _gone(source.pack_id) from error
        if file_id(handle) != source.pack.file_id:
            raise _gone(source.pack_id)
        self.pieces = source.pieces(handle)
        return self.next()

    def next(self) -> Buffer | None:
        return next(self.pieces, None)

    def read_all(self) -> Buffer:
        """All pieces at once; the file is closed again."""
        with self.resources:
            first, rest = self.open(), list(self.pieces)
            return b"".join((first or b"", *rest)) if rest else first or b""


def _gone(pack_id: str) -> NotFound:
    return NotFound(
        f"pack {pack_id} was deleted or built anew just now",
        value=pack_id,
        remedy="ask again, or submit the pair again",
    )


class PackResponse(Response):
    """Sends a source; of ``HEAD`` only the headers.

    Raises while it is sent:
        Busy: as many large answers are being sent as may be.
        NotFound: the pack was deleted meanwhile.
    """

    def __init__(
        self,
        source: Source,
        transfers: Transfers,
        *,
        media_type: str,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        self.source = source
        self.transfers = transfers
        self.status_code = status_code
        self.media_type = media_type
        self.background = None
        length = {} if source.length is None else {"Content-Length": str(source.length)}
        self.init_headers({**headers, **length})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {
            "type": "http.response.start",
            "status": self.status_code,
            "headers": self.raw_headers,
        }
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        with self.transfers.place(large=True) as limiter:
            await _send_pieces(_Held(self.source), limiter, start, receive, send)


async def ready(transfers: Transfers, make: Callable[[], Response], method: str) -> Response:
    """A response, made in a thread; if it is small, its bytes are read there at once.

    Raises:
        Busy: as many answers are being made as may be.
        Whatever making or reading raises.
    """
    with transfers.place(large=False):
        return await run_sync(_ready, make, method)


def _ready(make: Callable[[], Response], method: str) -> Response:
    response = make()
    if (
        method == "HEAD"
        or not isinstance(response, PackResponse)
        or response.source.weight > LARGE_BYTES
    ):
        return response
    body = _Held(response.source).read_all()
    small = Response(body, response.status_code)
    small.raw_headers = [
        *(pair for pair in response.raw_headers if pair[0] != b"content-length"),
        (b"content-length", str(len(body)).encode()),
    ]
    return small


async def _send_pieces(
    held: _Held,
    limiter: CapacityLimiter | None,
    start: dict[str, object],
    receive: Receive,
    send: Send,
) -> None:
    try:
        piece = await run_sync(held.open, limiter=limiter)
        left = held.source.length
        async with create_task_group() as group:

            async def watch() -> None:
                """Without it, all would be read and sent to nobody."""
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()

            group.start_soon(watch)
            await send(start)
            while piece is not None:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                left = None if left is None else left - len(piece)
                piece = await run_sync(held.next, limiter=limiter) if left != 0 else None
            await send({"type": "http.response.body", "body": b""})
            group.cancel_scope.cancel()
    finally:
        with CancelScope(shield=True):  # closing a file that was deleted may take its time
            await run_sync(held.resources.close)
