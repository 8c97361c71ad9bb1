"""A slice and scattered rows: how long one client waits for the last byte."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from bench.serving.compare import latency, ratio
from bench.serving.contenders import Ask, Asks, lacking
from bench.serving.plain import Refused, checked, connect, read
from bench.serving.rounds import Turn, by_turns
from bench.serving.running import Server
from bench.serving.servers import NGINX

REQUESTS, TURN_SECONDS = 10, 0.1
"""A turn is so many requests, or fewer if they take longer."""


def measure(
    work: str,
    asks: Asks,
    expected_ND: npt.NDArray[np.float32],
    servers: Mapping[str, Server],
    seconds: float,
) -> dict[str, Any]:
    """Milliseconds of all contenders as JSON, with their ratios to nginx. All answers are checked
    before: whoever does not answer these rows is skipped.
    """
    skipped = lacking(asks)
    with ExitStack() as stack:
        connections = {name: stack.enter_context(connect(of)) for name, of in servers.items()}
        turns: dict[str, Turn] = {}
        for name, ask in asks.items():
            if ask.server in servers and name not in skipped:
                http = connections[ask.server]
                try:
                    size = checked(http, ask, expected_ND)
                except Refused as error:
                    skipped[name] = str(error)
                else:
                    turns[name] = partial(_turn, http, ask, size)
        found = by_turns(work, turns, seconds)
    return {
        "contenders": {name: latency(of) for name, of in found.items()},
        "ratios": {
            f"{name}_vs_{NGINX}": ratio(of, found[NGINX])
            for name, of in found.items()
            if NGINX in found and name != NGINX
        },
        "skipped": skipped,
    }


def _turn(http: httpx.Client, ask: Ask, size: int) -> list[float]:
    """Seconds of each request, from asking to the last byte in an array."""
    took: list[float] = []
    while len(took) < REQUESTS and sum(took) < TURN_SECONDS:
        began = time.perf_counter()
        read(http, ask, size)
        took.append(time.perf_counter() - began)
    return took
