"""The client that all servers get: httpx, ``iter_raw``, an array that was made for the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from bench.serving.contenders import Ask
from bench.serving.running import Server

ANSWER_SECONDS = 60.0

Pieces = Callable[[httpx.Response], Iterable[bytes | memoryview]]


class Refused(RuntimeError):
    """A server answered no success, or something else than the rows that were asked for."""


def connect(server: Server) -> httpx.Client:
    return httpx.Client(base_url=server.url, trust_env=False, timeout=ANSWER_SECONDS)


def read(
    http: httpx.Client, ask: Ask, size: int, pieces: Pieces = httpx.Response.iter_raw
) -> npt.NDArray[np.uint8]:
    """The answer's bytes, of which there must be ``size``. Raises Refused."""
    found = np.empty(size, np.uint8)
    into, at = found.data, 0
    with http.stream(ask.method, ask.path, headers=ask.sent_headers, content=ask.body) as response:
        if response.status_code != 200:
            raise Refused(f"{ask.path} was answered {response.status_code}: {response.read()!r}")
        for piece in pieces(response):
            end = at + len(piece)
            if end <= size:
                into[at:end] = piece
            at = end
    if at != size:
        raise Refused(f"{ask.path} was answered with {at} bytes in place of {size}")
    return found


def checked(http: httpx.Client, ask: Ask, expected_ND: npt.NDArray[Any]) -> int:
    """How many bytes the answer has, having compared its rows with ``expected_ND``.

    Raises Refused: they differ, or there is no such answer.
    """
    response = http.request(ask.method, ask.path, headers=ask.sent_headers, content=ask.body)
    if response.status_code != 200:
        asked = ask.path.partition("?")[0]
        raise Refused(f"{asked} was answered {response.status_code}: {response.text[:300]}")
    if not np.array_equal(ask.decode(response.content), expected_ND):
        raise Refused(f"{ask.path} was answered with other rows than those of the pack")
    return len(response.content)
