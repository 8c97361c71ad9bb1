"""Around every request: its id, its time, its log line, and its span where traces are wanted.

Outside of everything else, so that errors which nobody foresaw are seen, too. It never looks at
queries, bodies or keys, and logs the route's template instead of the path.
"""

from __future__ import annotations

import os
import re
from time import perf_counter
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cache.origin import Origin, begin
from cache.tracing import Tracing
from service.access_log import AccessLog
from service.metrics import OTHER, Metrics

REQUEST_ID: Final = b"x-request-id"

SANE: Final = re.compile(rb"[A-Za-z0-9._=+/:-]{1,128}")
"""What others make of ids (UUIDs, traces, load balancers'), nothing that a log could trip on."""

UNHEARD: Final = 499
"""The status of a request that ended without an answer, because nobody waited for it any more."""


class Observe:
    """ASGI. ``app`` is the whole application with its own handling of errors."""

    def __init__(
        self, app: ASGIApp, metrics: Metrics, access: AccessLog, tracing: Tracing | None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.access = access
        self.tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = perf_counter()
        sane_id, traceparent = _headers(scope)
        request_id, header = sane_id.decode(), (REQUEST_ID, sane_id)
        method, span = scope["method"], None
        if self.tracing is not None:
            span, traceparent = self.tracing.begin_request(method, traceparent)
        # A server runs each request in a task of its own, with which this ends.
        begin(Origin(request_id, traceparent if span else ""))
        status, sent_bytes = UNHEARD, 0

        async def told(message: Message) -> None:
            nonlocal status, sent_bytes
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], header]
            else:
                sent_bytes += len(message.get("body", b""))
            await send(message)

        self.metrics.in_flight += 1
        try:
            await self.app(scope, receive, told)
        finally:
            self.metrics.in_flight -= 1
            route = getattr(scope.get("route"), "path", OTHER)
            seconds = perf_counter() - began
            self.metrics.answered(method, route, status, seconds)
            self.access.note(request_id, method, route, status, seconds, sent_bytes)
            if self.tracing is not None and span is not None:
                self.tracing.end_request(span, method, route, status)


def _headers(scope: Scope) -> tuple[bytes, str]:
    """The request's id, made if none that is sane came along, and its ``traceparent``."""
    request_id, traceparent = b"", ""
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            request_id = value if SANE.fullmatch(value) else b""
        elif name == b"traceparent":
            traceparent = value.decode("latin-1")
    return request_id or os.urandom(16).hex().encode(), traceparent
