"""The bytes of an answer, as fast as the system hands them over.

httpx gives a body in pieces of at most 64 KiB, each of which Python's HTTP parser copies several
times. Behind its headers a body of known length is nothing but bytes, so the rest of a large one
is read from the connection's socket, which httpx hands out as the documented extension
``network_stream``: two to three times as fast on a loopback, and the interpreter is free meanwhile.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx

PIECE_BYTES = 1 << 20
LARGE_BYTES = 4 << 20
"""From here on it is worth a connection: one that was read past its parser is not used again."""

Piece = bytes | memoryview


def body(response: httpx.Response) -> Iterator[Piece]:
    """The body's bytes in order, not decoded; a piece holds until the next one is asked for.

    Raises:
        httpx.TransportError: the connection broke, or was silent for too long.
    """
    pieces = response.iter_raw()
    length, connection = _length(response), _socket(response)
    if connection is None or length is None or length < LARGE_BYTES:
        yield from pieces
        return
    first = next(pieces, b"")  # the parser keeps nothing back: it gives all that it was given
    yield first
    yield from _received(connection, length - len(first))


def _length(response: httpx.Response) -> int | None:
    """Bytes of a body that is sent as it is and as a whole."""
    length = response.headers.get("Content-Length", "")
    plain = response.http_version == "HTTP/1.1" and "Transfer-Encoding" not in response.headers
    return int(length) if plain and length.isdecimal() else None


def _socket(response: httpx.Response) -> socket.socket | None:
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if isinstance(found, socket.socket) else None


def _received(connection: socket.socket, left: int) -> Iterator[Piece]:
    """So many bytes. The socket has the timeout of the read before."""
    buffer = memoryview(bytearray(min(PIECE_BYTES, left)))
    while left:
        try:
            count = connection.recv_into(buffer[: min(len(buffer), left)])
        except TimeoutError as error:
            raise httpx.ReadTimeout("timed out") from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if not count:
            raise httpx.RemoteProtocolError("the connection was closed before the body's end")
        left -= count
        yield buffer[:count]
