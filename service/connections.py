"""What a connection may cost before there is a request to answer.

uvicorn reads requests by llhttp, which bounds neither the size of a head nor the time it takes, and
closes an idle connection only after a first answer. So that nobody fills the memory with one
endless header, or takes all places by connections on which nothing comes ("slowloris"), they are
bounded here: how many, how large a head, how soon it must be there, how slowly a body may come.
Clients that read too slowly are dropped by the system, see ``service/__main__.py``.

RFC 9110, 15.5.9 (408), 15.6.4 (503); RFC 6585, 5 (431).
"""

from __future__ import annotations

import asyncio
import json
import resource
from typing import Any, ClassVar, Final

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES: Final = 64 << 10
"""Of request line and headers; of chunk sizes and trailers beyond eight for each byte of a body."""

MAX_HEADERS: Final = 100
HEAD_SECONDS: Final = 20.0
BODY_BYTES_PER_SECOND: Final = 1024
"""Slower than any line in use; a 4 GiB upload at this rate would take 48 days."""

LOOK_SECONDS: Final = 20.0
"""So often a connection is looked at: what comes less fast in between is too slow."""

SPARE_FILES: Final = 512
"""File descriptors that are left for packs, the database and what is being uploaded."""

MOST_FILES: Final = 65_536
"""Asked of the system, where it would give more."""

_REFUSALS: Final = {
    400: ("Bad Request", "this is no HTTP/1.1 request", "send HTTP/1.1"),
    408: ("Request Timeout", "the request did not come in time", "send it faster"),
    431: (
        "Request Header Fields Too Large",
        f"the request's head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers",
        "send less in the address and in headers; rows can be listed in a body",
    ),
    503: (
        "Service Unavailable",
        "as many connections are open as may be",
        "try again after the seconds that Retry-After says",
    ),
}


def connection_limit() -> int:
    """How many connections may be open: as many as the system gives files for, less some.

    The process's own limit is raised as far as the system lets it.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    files = wanted if soft == resource.RLIM_INFINITY else soft
    return max(16, files - SPARE_FILES)


class BoundedProtocol(HttpToolsProtocol):
    """One connection: uvicorn's, with bounds."""

    most: ClassVar[int] = 1024
    """Connections that may be open at once; see :func:`bounded`."""

    _begun: float | None
    """When what is to be a request began to come; None while one is being answered, or none is."""
    _in_body = False
    _extra_bytes = 0
    """What came of the request and is no body."""
    _body_bytes = 0
    _body_bytes_seen = 0
    """At the last look."""
    _refusal = 400
    _looking: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._begun = self.loop.time()
        if len(self.connections) > self.most:
            self._refuse(503)
            return
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._begun is None:
            self._begun = self.loop.time()
        self._extra_bytes += len(data)
        super().data_received(data)
        # The parser keeps an unfinished header to itself, so what it was given is counted.
        too_much = self._extra_bytes > MAX_HEAD_BYTES + 8 * self._body_bytes
        if too_much and not self.transport.is_closing():
            self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:  # trailers are among them
            self._refusal = 431
            raise HttpParserError

    def on_headers_complete(self) -> None:
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > MAX_HEAD_BYTES:
            self._refusal = 431
            raise HttpParserError
        super().on_headers_complete()
        self._in_body, self._body_bytes, self._body_bytes_seen = True, 0, 0

    def on_body(self, body: bytes) -> None:
        self._extra_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._begun, self._in_body, self._extra_bytes = None, False, 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn does when the parser fails."""
        self._refuse(self._refusal)

    def _look(self) -> None:
        """End the connection if what is to come does not; else look again later."""
        if self.transport.is_closing():
            return
        self._looking = self.loop.call_later(LOOK_SECONDS, self._look)
        if self._begun is None or self.flow.read_paused:
            return  # nothing is awaited, or the wait is ours
        if not self._in_body:
            if self.loop.time() - self._begun >= HEAD_SECONDS:
                self._refuse(408)
            return
        came = self._body_bytes - self._body_bytes_seen
        self._body_bytes_seen = self._body_bytes
        waited = min(LOOK_SECONDS, self.loop.time() - self._begun)
        if waited >= LOOK_SECONDS and came < LOOK_SECONDS * BODY_BYTES_PER_SECOND:
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        """Answer and close. Amid an answer to an earlier request, only close."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if not busy or not self.cycle.response_started:
            self.transport.write(_answer(status))
        self.transport.close()
        if busy:  # whoever reads the body is to know at once that nothing more comes
            self.cycle.disconnected = True
            self.cycle.message_event.set()


def bounded(connections: int) -> type[BoundedProtocol]:
    """The protocol of a server that lets so many connections be open."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most": connections})


def _answer(status: int) -> bytes:
    title, detail, remedy = _REFUSALS[status]
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "",
        "value": None,
        "remedy": remedy,
    }
    body = json.dumps(problem).encode("ascii")
    retry = "Retry-After: 5\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {title}\r\nContent-Type: application/problem+json\r\n{retry}"
        f"X-Content-Type-Options: nosniff\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
