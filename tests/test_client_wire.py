"""Large bodies, read from the socket: whole, however they are cut, and errors as httpx's."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from featurepack import wire

BODY = os.urandom(wire.LARGE_BYTES + 12345)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


@contextmanager
def serving(pieces: list[bytes], stay: bool = False) -> Iterator[str]:
    """A server that answers each of two connections with these pieces; its address."""
    done = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                for piece in pieces:
                    connection.sendall(piece)
                if stay:
                    done.wait(20)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        done.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def read(http: httpx.Client, url: str) -> bytes:
    found = bytearray()
    with http.stream("GET", url) as response:
        for piece in wire.body(response):
            found += piece
    return bytes(found)


@pytest.mark.parametrize("first", [0, 1, 70_000, len(BODY)])
def test_a_body_arrives_whole_however_it_is_cut(first: int) -> None:
    pieces = [HEAD + BODY[:first], *([BODY[first:]] if first < len(BODY) else [])]
    with serving(pieces) as url, httpx.Client(trust_env=False) as http:
        assert read(http, url) == BODY
        assert read(http, url) == BODY  # by another connection: the first one is used up


def test_the_next_piece_takes_the_place_of_the_one_before() -> None:
    with serving([HEAD, BODY]) as url, httpx.stream("GET", url, trust_env=False) as response:
        pieces = list(wire.body(response))
    views = [piece for piece in pieces if isinstance(piece, memoryview)]
    assert len({id(view.obj) for view in views}) == 1  # nothing is allocated as it goes on


def test_a_body_that_breaks_off_is_an_error() -> None:
    ends = pytest.raises(httpx.RemoteProtocolError, match="closed before the body's end")
    with serving([HEAD, BODY[:-1]]) as url, httpx.Client(trust_env=False) as http, ends:
        read(http, url)


def test_silence_is_a_timeout() -> None:
    http = httpx.Client(trust_env=False, timeout=0.3)
    with serving([HEAD, BODY[:-1]], stay=True) as url, http, pytest.raises(httpx.ReadTimeout):
        read(http, url)


def test_what_has_no_length_goes_through_the_parser() -> None:
    chunk = b"%x\r\n%s\r\n" % (len(BODY), BODY)
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    with serving([head, chunk, b"0\r\n\r\n"]) as url, httpx.Client(trust_env=False) as http:
        assert read(http, url) == BODY
