"""A service over real sockets, in a thread of the test, whose answers can be disturbed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from cache.store import Store
from service.app import create_app
from service.settings import ServiceSettings


@dataclass
class Line:
    """What passes between the service and its clients.

    ``asked`` are the requests: path and ``Range``. ``flip`` has positions in the file of bytes to
    change, each once. ``cuts`` has numbers of bytes after which bodies of files break off.
    So many (``refused``) requests for the second run of a file are answered 429 at once.
    ``hold`` is how many bytes of files pass before all of them stand still until ``release``.
    """

    app: Any
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    flip: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    hold: int | None = None
    release: threading.Event = field(default_factory=threading.Event)
    refused: int = 0
    before: Callable[[str], None] | None = None
    url: str = ""
    sent: int = 0

    def ranges(self) -> list[tuple[int, int]]:
        """The bytes of files that were asked for, first to last, in the order of the file."""
        texts = [text for path, text in self.asked if path.endswith("/file") and text]
        pairs = [text.removeprefix("bytes=").split("-") for text in texts]
        return sorted((int(first), int(last)) for first, last in pairs)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        self.asked.append((scope["path"], headers.get("range")))
        if self.before is not None:
            self.before(scope["path"])
        if self.refused and headers.get("range", "").startswith("bytes=16777216-"):
            self.refused -= 1
            await send({"type": "http.response.start", "status": 429, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        if scope["path"].endswith("/file"):
            send = self._disturbed(send)
        await self.app(scope, receive, send)

    def _disturbed(self, send: Any) -> Any:
        at, left = 0, self.cuts.pop(0) if self.cuts else None

        async def disturbed(message: Any) -> None:
            nonlocal at, left
            if message["type"] == "http.response.start":
                span = dict(message["headers"]).get(b"content-range", b"bytes 0-").decode()
                at = int(span.removeprefix("bytes ").partition("-")[0])
            elif body := message.get("body", b""):
                message = message | {"body": self._flipped(bytes(body), at)}
                at += len(body)
                self.sent += len(body)
                if left is not None and len(body) > left:
                    await send({**message, "body": message["body"][:left], "more_body": True})
                    raise ConnectionAbortedError("the line was cut")
                left = None if left is None else left - len(body)
                while self.hold is not None and self.sent > self.hold:
                    if self.release.is_set():
                        break
                    await asyncio.sleep(0.01)
            await send(message)

        return disturbed

    def _flipped(self, body: bytes, at: int) -> bytes:
        changed = bytearray(body)
        for place in [place for place in self.flip if at <= place < at + len(body)]:
            changed[place - at] ^= 0xFF
            self.flip.remove(place)
        return bytes(changed)


@contextmanager
def live(store: Store) -> Iterator[Line]:
    """The service over a store, until the block ends."""
    url = f"sqlite:///{store.root / 'featurepack.db'}"
    line = Line(create_app(ServiceSettings(store=store, database_url=url)))
    config = uvicorn.Config(line, port=0, log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        line.url = f"http://127.0.0.1:{port}"
        yield line
    finally:
        line.release.set()
        server.should_exit = True
        thread.join()
