"""What a connection may cost: heads, idleness and slow bodies, by real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from cache.store import Store
from service import connections
from service.app import create_app
from service.connections import MAX_HEAD_BYTES, bounded, connection_limit
from service.settings import ServiceSettings

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n"


@contextmanager
def listening(store: Store, most: int = 100) -> Iterator[tuple[str, int]]:
    """A service whose connections are bounded; its address."""
    settings = ServiceSettings(store=store, database_url=store.database_url)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        port=0,
        log_level="critical",
        http=bounded(most),
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def address(store: Store) -> Iterator[tuple[str, int]]:
    with listening(store) as found:
        yield found


def answered(address: tuple[str, int], *pieces: bytes, pause: float = 0.0) -> bytes:
    """What comes back until the service closes the connection."""
    with socket.create_connection(address, timeout=30) as line:
        try:
            for piece in pieces:
                line.sendall(piece)
                time.sleep(pause)
        except OSError:
            pass  # it was closed while we sent
        received = b""
        try:
            while piece := line.recv(1 << 16):
                received += piece
        except ConnectionResetError:
            pass
        return received


def patient(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", seconds)
    monkeypatch.setattr(connections, "LOOK_SECONDS", seconds)


def test_usual_requests_are_answered(address: tuple[str, int]) -> None:
    found = answered(address, GET + b"\r\n" + GET + b"Connection: close\r\n\r\n")
    assert found.count(b"HTTP/1.1 200") == 2
    long = b"X-Long: " + b"a" * (MAX_HEAD_BYTES - 1000) + b"\r\nConnection: close\r\n\r\n"
    assert answered(address, GET + long).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Long: " + b"a" * MAX_HEAD_BYTES + b"\r\n\r\n",
        GET + b"X: y\r\n" * 200 + b"\r\n",
        b"GET /" + b"a" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n" * MAX_HEAD_BYTES,
        b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: "
        + b"a" * (2 * MAX_HEAD_BYTES),
    ],
    ids=["header", "headers", "line", "empty-lines", "trailer"],
)
def test_too_large_heads_are_refused(address: tuple[str, int], head: bytes) -> None:
    found = answered(address, head)
    assert found.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
    assert b"application/problem+json" in found
    assert b'"remedy"' in found


def test_a_head_without_an_end_is_refused_before_it_fills_the_memory(
    address: tuple[str, int],
) -> None:
    endless = [GET + b"X: "] + [b"a" * 65536] * 100
    assert b" 431 " in answered(address, *endless)


@pytest.mark.parametrize(
    "start", [b"", b"G", GET, b"\r\n"], ids=["nothing", "letter", "half", "nl"]
)
def test_heads_that_do_not_come_are_not_waited_for(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch, start: bytes
) -> None:
    patient(monkeypatch, 0.3)
    began = time.monotonic()
    drips = [b"\r\n"] * 20 if start == b"\r\n" else [b"X"] * 20 if start == GET else []
    assert b" 408 " in answered(address, start, *drips, pause=0.1)
    assert time.monotonic() - began < 10


def test_slow_bodies_are_dropped_and_quick_ones_are_not(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    patient(monkeypatch, 0.4)
    head = b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    slow = head + b"Content-Length: 100000\r\n\r\n"
    assert b" 408 " in answered(address, slow, *[b" "] * 20, pause=0.1)
    quick = head + b"Connection: close\r\nContent-Length: 100000\r\n\r\n"
    found = answered(address, quick, *[b" " * 5000] * 20, pause=0.06)
    assert found.startswith(b"HTTP/1.1 422"), found[:100]


def test_requests_that_take_long_are_not_dropped(
    address: tuple[str, int], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that waits for a job sends nothing meanwhile."""
    patient(monkeypatch, 0.2)
    body = b'{"name": "d", "source": {"kind": "builtin", "name": "digits"}}'
    head = b"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Prefer: wait=2\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    began = time.monotonic()
    assert answered(address, head + body).startswith(b"HTTP/1.1 202")
    assert time.monotonic() - began > 1.5


def test_connections_beyond_the_limit_are_told(store: Store) -> None:
    with listening(store, most=2) as address:
        idle = [socket.create_connection(address, timeout=30) for _ in range(2)]
        time.sleep(0.2)
        found = answered(address, GET + b"\r\n")
        assert b" 503 " in found
        assert b"Retry-After" in found
        for line in idle:
            line.close()
        time.sleep(0.2)
        assert answered(address, GET + b"Connection: close\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_told_so(address: tuple[str, int]) -> None:
    assert answered(address, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request")


def test_the_limit_leaves_files_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(connections.resource, "getrlimit", lambda _: (1024, 4096))
    monkeypatch.setattr(connections.resource, "setrlimit", lambda _, new: asked.append(new))
    assert connection_limit() == 4096 - connections.SPARE_FILES
    assert asked == [(4096, 4096)]
