"""A client inside the test: scripted answers, or a real service behind a line that breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import httpx
import numpy as np
from starlette.testclient import TestClient

from cache.catalogue import Catalogue
from cache.database import Database
from cache.store import Store
from featurepack import Client
from featurepack.transport import Retry
from service.app import create_app
from service.settings import ServiceSettings
from tests.keeping import keep_real_pack

URL = "http://featurepack.test"

Answer = Callable[[httpx.Request], httpx.Response]

JOB: dict[str, Any] = {
    "object": "job",
    "id": "j1",
    "kind": "extract",
    "state": "queued",
    "pack_id": "r-d",
    "priority": 0,
    "attempt": 1,
    "worker": None,
    "cancelling": False,
    "progress": {},
    "result": None,
    "error": None,
    "created": "2026-01-02T03:04:05Z",
    "started": None,
    "finished": None,
    "submitters": ["ada@lab"],
    "attempts": [],
    "next_try": None,
}
"""A complete job as the service answers it."""

FAULT: dict[str, Any] = {
    "kind": "unavailable",
    "title": "Unavailable",
    "detail": "the disk is full",
    "value": None,
    "remedy": "make room",
}

ATTEMPTS: list[dict[str, Any]] = [
    {
        "attempt": 1,
        "worker": "north-7",
        "began": "2026-01-02T03:04:05Z",
        "ended": "2026-01-02T03:04:35Z",
        "outcome": "lost",
        "error": None,
    },
    {
        "attempt": 2,
        "worker": "south-3",
        "began": "2026-01-02T03:04:35Z",
        "ended": "2026-01-02T03:04:37.4Z",
        "outcome": "retrying",
        "error": FAULT,
    },
]


def answer(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    kind = "application/problem+json" if status >= 400 else "application/json"
    return httpx.Response(status, json=body, headers={"Content-Type": kind, **headers})


def problem(kind: str, status: int, **headers: str) -> httpx.Response:
    document = {
        "type": f"urn:featurepack:problem:{kind}",
        "detail": f"{kind} it is",
        "value": 7,
        "remedy": "do this",
        "status": status,
    }
    return answer(document, status, **headers)


def events(*pieces: bytes | Exception) -> httpx.Response:
    """A stream of events in these pieces; an exception breaks it."""
    return streaming(pieces)


def streaming(pieces: Iterable[bytes | Exception]) -> httpx.Response:
    """:func:`events` of pieces that are made while they are read."""
    headers = {"Content-Type": "text/event-stream; charset=utf-8"}
    return httpx.Response(200, headers=headers, stream=Pieces(pieces))


def told(**changes: Any) -> bytes:
    """A job as an event."""
    return f"event: job\ndata: {json.dumps(JOB | changes)}\n\n".encode()


class Pieces(httpx.SyncByteStream):
    def __init__(self, pieces: Iterable[bytes | Exception]) -> None:
        self.pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece


class Script:
    """Answers requests one after the other; an exception is raised in place of an answer."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self.steps = list(steps)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.requests.append(request)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return step

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    def client(self) -> Client:
        http = httpx.Client(base_url=URL, transport=httpx.MockTransport(self))
        retry = Retry(sleep=self.pauses.append)
        return Client(http=http, retry=retry, submitter="ada@lab", cache=False)


class BreakingLine:
    """Passes requests on to an application; bodies of ``path`` break off after ``cuts`` bytes."""

    def __init__(
        self, behind: TestClient, path: str, cuts: list[int], *, cache: bool = False
    ) -> None:
        self.cache = cache
        self.behind = behind
        self.path = path
        self.cuts = cuts
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        passed = self.behind.request(
            request.method,
            str(request.url.copy_with(scheme="http", host="testserver")),
            headers=request.headers,
            content=request.read(),
        )
        cut = None
        if request.url.path.endswith(self.path):
            self.requests.append(request)
            cut = self.cuts.pop(0) if self.cuts else None
        stream = Cut(passed.content, cut)
        return httpx.Response(passed.status_code, headers=passed.headers, stream=stream)

    def client(self) -> Client:
        http = httpx.Client(base_url=URL, transport=httpx.MockTransport(self))
        return Client(http=http, retry=Retry(times=1, sleep=lambda _: None), cache=self.cache)


class Cut(httpx.SyncByteStream):
    """Bytes in pieces of 1000; with ``cut``, an error after so many."""

    def __init__(self, content: bytes, cut: int | None) -> None:
        self.content = content
        self.cut = cut

    def __iter__(self) -> Iterator[bytes]:
        end = len(self.content) if self.cut is None else self.cut
        for first in range(0, end, 1000):
            yield self.content[first : min(first + 1000, end)]
        if self.cut is not None:
            raise httpx.ReadError("the line broke")


def application(store: Store) -> TestClient:
    """A service without a worker; use it as a context manager."""
    url = f"sqlite:///{store.root / 'featurepack.db'}"
    return TestClient(create_app(ServiceSettings(store=store, database_url=url)))


def keep_pack(store: Store, pack_id: str, rows: int = 50, width: int = 16) -> np.ndarray:
    """Put a pack into a store whose database exists; its features [N, D]."""
    database = Database(store.database_url)
    _, features_ND = keep_real_pack(
        Catalogue(database), store, rows=rows, width=width, named=pack_id
    )
    database.close()
    return features_ND
