"""The parent's end of ``load.py``: many clients on one server, whose memory is watched."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy.typing as npt

from bench.serving.contenders import Ask
from bench.serving.memory import Memory, Watched
from bench.serving.running import HOST, Server, group
from bench.serving.servers import ROOT

HEAD_BYTES = 64


class LoadFailed(RuntimeError):
    """The program that plays the clients ended by itself; the message has the end of its log."""


@dataclass(frozen=True)
class Weighed:
    """A request of the mix: how often it is drawn, how long its answer is and how it begins.

    ``length`` is None for one that changes.
    """

    name: str
    ask: Ask
    length: int | None
    head: bytes
    weight: float = 1.0

    def spec(self) -> dict[str, Any]:
        """For the program."""
        ask = self.ask
        return {
            "name": self.name,
            "weight": self.weight,
            "method": ask.method,
            "path": ask.path,
            "headers": ask.sent_headers,
            "body": None if ask.body is None else ask.body.decode(),
            "bytes": self.length,
            "head": self.head.hex(),
        }


@dataclass(frozen=True)
class Loaded:
    """``told`` is what the clients tell, ``samples`` the server's memory from before to the end."""

    told: dict[str, Any]
    samples: Sequence[Memory]
    peak: Memory

    @property
    def mb_per_second(self) -> float:
        return float(self.told["bytes"] / self.told["elapsed"] / 1e6)


def weighed(name: str, ask: Ask, rows_ND: npt.NDArray[Any], weight: float = 1.0) -> Weighed:
    """A request that is answered with these rows as raw bytes."""
    head = rows_ND[:1].tobytes()[:HEAD_BYTES]
    return Weighed(name, ask, rows_ND.nbytes, head, weight)


def load(
    server: Server,
    mix: Sequence[Weighed],
    clients: int,
    seconds: float,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> Loaded:
    """So many clients for so many seconds, each with these headers, too. Raises LoadFailed."""
    spec = {
        "host": HOST,
        "port": int(server.url.rpartition(":")[2]),
        "clients": clients,
        "seconds": seconds,
        "seed": 0,
        "asks": [told | {"headers": told["headers"] | headers} for told in map(Weighed.spec, mix)],
    }
    command = [sys.executable, "-m", "bench.serving.load", json.dumps(spec)]
    with (
        tempfile.TemporaryFile() as log,
        Watched(server.pid) as watched,
        group(command, {"PYTHONPATH": str(ROOT)}, log, stdout=subprocess.PIPE) as process,
    ):
        output, _ = process.communicate()
        if process.returncode != 0:
            log.seek(0)
            raise LoadFailed(log.read().decode(errors="replace")[-2000:])
    return Loaded(json.loads(output), watched.samples, watched.peak)
