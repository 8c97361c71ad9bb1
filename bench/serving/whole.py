"""The whole pack into a NumPy array every byte of which is read afterwards."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import numpy.typing as npt

from bench.extraction.compare import significant, spread
from bench.serving.compare import ratio
from bench.serving.contenders import Ask, whole
from bench.serving.material import DATASET, NETWORK, WEIGHTS, Material, checksum
from bench.serving.plain import Pieces, Refused, connect, read
from bench.serving.rounds import Turn, by_turns
from bench.serving.running import Server
from bench.serving.servers import NGINX, OURS
from featurepack import Client
from featurepack.wire import body

CLIENT, NGINX_BODY = "client", "nginx_by_our_loop"

FILES = ("ours_file", NGINX, "file_response")


def measure(material: Material, servers: Mapping[str, Server], seconds: float) -> dict[str, Any]:
    """Rates of all contenders as JSON, with their ratios to nginx."""
    skipped: dict[str, str] = {}
    with ExitStack() as stack:
        connections = {name: stack.enter_context(connect(of)) for name, of in servers.items()}
        turns: dict[str, Turn] = {CLIENT: lambda: [_by_client(material, servers[OURS])]}
        for name, ask in whole(material).items():
            if ask.server in servers:
                turn = partial(_by_plain_loop, material, connections[ask.server], name, ask)
                try:
                    turn()  # the first tells whether it can, and is not measured
                except Refused as error:
                    skipped[name] = str(error)
                    continue
                turns[name] = partial(_listed, turn)
        if NGINX in turns:
            turns[NGINX_BODY] = lambda: [_by_our_loop(material, connections[NGINX])]
        _by_client(material, servers[OURS])
        found = by_turns("whole pack", turns, seconds)
    rates = {
        name: [[material.features_bytes / took for took in of] for of in rounds]
        for name, rounds in found.items()
    }
    return {
        "contenders": {
            name: {
                "mb_per_second": spread([rate / 1e6 for of in rounds for rate in of]),
                "seconds": significant(statistics.median(s for of in found[name] for s in of)),
                "turns": len(rounds),
            }
            for name, rounds in rates.items()
        },
        "ratios": {
            f"{name}_vs_{NGINX}": ratio(of, rates[NGINX])
            for name, of in rates.items()
            if NGINX in rates and name != NGINX
        },
        "skipped": skipped,
    }


def _listed(turn: Any) -> list[float]:
    return [turn()]


def _by_client(material: Material, server: Server) -> float:
    """Our client, which has nothing cached; seconds."""
    with tempfile.TemporaryDirectory(dir=material.files.parent) as cache:
        began = time.perf_counter()
        with Client(server.url, cache_dir=cache) as client:
            X, _ = client.features(NETWORK, DATASET, weights=WEIGHTS)
            _check(X, material)
            took = time.perf_counter() - began
    os.sync()  # what its file does to the disk is not to slow the next turn
    return took


def _by_our_loop(material: Material, http: httpx.Client) -> float:
    """nginx, read as our client reads; seconds."""
    return _by_plain_loop(material, http, NGINX, whole(material)[NGINX], body)


def _by_plain_loop(
    material: Material,
    http: httpx.Client,
    name: str,
    ask: Ask,
    pieces: Pieces = httpx.Response.iter_raw,
) -> float:
    size = material.pack.stat().st_size if name in FILES else material.features_bytes
    began = time.perf_counter()
    data = read(http, ask, size, pieces)
    _check(ask.decode(data.data), material)
    return time.perf_counter() - began


def _check(features_ND: npt.NDArray[Any], material: Material) -> None:
    """Read all of it. Raises Refused if it is not the pack's."""
    if checksum(features_ND) != material.checksum:
        raise Refused("the features are not those of the pack")
