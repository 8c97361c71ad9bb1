"""A response that is read from a pack's file while it is sent.

The file is open, and kept from eviction, until the last byte is sent or the client is gone. A
small answer is read at once. Of a large one a piece is read, in a thread, while the one before is
on its way, and sent when that is, so about two are in memory whatever the size. A client that stops
reading is dropped by the system (service/__main__.py), which ends the wait for it like any other
end of a connection.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from anyio import CancelScope, CapacityLimiter, create_task_group
from anyio.to_thread import run_sync
from fastapi import Response
from starlette.types import Message, Receive, Scope, Send

from cache.errors import NotFound
from cache.pack import Pack, file_id
from cache.store import Store
from service.caller import PLACE, Caller
from service.reading import Buffer, OpenFile
from service.transfers import LARGE_BYTES, Transfers


@dataclass(frozen=True)
class Source:
    """What to send: ``pieces`` makes it from the pack's open file.

    ``length`` is in bytes and None where only the end tells; ``weight`` says about how many bytes
    have to be read. ``is_quick``: nothing is computed of what is read.
    """

    store: Store
    pack_id: str
    pack: Pack
    pieces: Callable[[OpenFile], Iterator[Buffer]]
    length: int | None
    weight: int
    is_quick: bool


@dataclass
class _Held:
    """An open file and the pieces that are left of it. To be used by one thread at a time."""

    source: Source
    resources: ExitStack = field(default_factory=ExitStack)
    handle: int = -1
    pieces: Iterator[Buffer] = field(init=False)

    def open(self, wait: bool = True) -> None:
        """Open and lock the file. Raises NotFound, and without ``wait`` BlockingIOError."""
        source = self.source
        try:
            self.handle = self.resources.enter_context(source.store.reading(source.pack_id, wait))
        except FileNotFoundError as error:
            raise _gone(source.pack_id) from error
        if file_id(self.handle) != source.pack.file_id:
            raise _gone(source.pack_id)

    def begin(self) -> Buffer | None:
        """Open the file; the first piece."""
        self.open()
        self.pieces = self.source.pieces(OpenFile(self.handle))
        return self.next()

    def next(self) -> Buffer | None:
        return next(self.pieces, None)

    def all(self, wait: bool = True) -> list[Buffer]:
        """All pieces of the open file."""
        return list(self.source.pieces(OpenFile(self.handle, wait)))

    def body(self) -> Buffer:
        """Open the file; all of it at once."""
        self.open()
        pieces = self.all()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def close(self) -> None:
        """The last to close a file that was deleted waits until its room is free."""
        if self.handle >= 0 and not os.fstat(self.handle).st_nlink:
            with CancelScope(shield=True):
                await run_sync(self.resources.close)
        else:
            self.resources.close()


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
        start = _start(self.status_code, self.raw_headers)
        if scope["method"] == "HEAD":
            await send(start)
            await send(_body(b""))
            return
        large = self.source.weight > LARGE_BYTES
        with self.transfers.place(large, _team(scope)) as limiter:
            held = _Held(self.source)
            if large:
                await _send_pieces(held, limiter, start, receive, send)
            elif self.source.is_quick:
                await _send_at_once(held, start, send)
            else:
                await _send_whole(held, start, send)


def _team(scope: Scope) -> str | None:
    caller: Caller | None = scope.get(PLACE)
    return None if caller is None else caller.team


def _start(status: int, headers: list[tuple[bytes, bytes]]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _body(piece: Buffer, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": piece, "more_body": more}


async def _send_at_once(held: _Held, start: Message, send: Send) -> None:
    """Read here and now what is in memory: a thread would take longer to wake than to read it.

    The client reads the headers meanwhile.
    """
    try:
        try:
            held.open(wait=False)
        except BlockingIOError:
            await run_sync(held.open)
        await send(start)
        try:
            pieces = held.all(wait=False)
        except BlockingIOError:
            pieces = await run_sync(held.all)
        *pieces, last = pieces or [b""]
        for piece in pieces:
            await send(_body(piece, more=True))
        await send(_body(last))
    finally:
        await held.close()


async def _send_whole(held: _Held, start: Message, send: Send) -> None:
    """Make all of it in a thread: only then is known how long it is."""
    try:
        body = await run_sync(held.body)
    finally:
        await held.close()
    named = [pair for pair in start["headers"] if pair[0] != b"content-length"]
    length = (b"content-length", str(len(body)).encode())
    await send({**start, "headers": [*named, length]})
    await send(_body(body))


async def _send_pieces(
    held: _Held,
    limiter: CapacityLimiter | None,
    start: Message,
    receive: Receive,
    send: Send,
) -> None:
    try:
        piece = await run_sync(held.begin, limiter=limiter)
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
                await send(_body(piece, more=True))
                left = None if left is None else left - len(piece)
                piece = await run_sync(held.next, limiter=limiter) if left != 0 else None
            await send(_body(b""))
            group.cancel_scope.cancel()
    finally:
        await held.close()
