"""What a worker's signs of life tell of its lanes and devices, and what follows from it.

A worker that is heard of may still do nothing: a lane hangs in a driver, or every claim fails. So
each lane tells when it last did real work (rows, a step of training, the end of a job), and
readiness compares that with the jobs that could have been claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cache.queue_state import KindState
from cache.rows import WorkerRow


@dataclass(frozen=True)
class LaneSign:
    """The kinds of jobs a lane does, and the seconds since its last real work; None: none yet."""

    kinds: Sequence[str]
    idle_seconds: float | None = None


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a GPU's memory that are used, by whomever, and that it has."""

    device: str
    used: int
    total: int


@dataclass(frozen=True)
class StuckLane:
    """Jobs of some kinds wait although workers live that should have claimed them.

    ``waiting_seconds`` is for how long; in ``idle_seconds`` no such lane has done anything.
    """

    lane: str
    waiting_seconds: float
    idle_seconds: float


def kept_signs(
    lanes: Mapping[str, LaneSign], memory: Sequence[DeviceMemory], now: float
) -> dict[str, Any]:
    """Both as a worker's row keeps them: ``worked`` is seconds since 1970, as ``now`` is."""

    def worked(idle: float | None) -> float | None:
        return None if idle is None else now - idle

    return {
        "lanes": {
            name: {"kinds": list(sign.kinds), "worked": worked(sign.idle_seconds)}
            for name, sign in lanes.items()
        },
        "memory": [asdict(one) for one in memory],
    }


def stuck_lanes(
    queue: Sequence[KindState], live: Sequence[WorkerRow], now: float, patience_seconds: float
) -> list[StuckLane]:
    """Lanes in which jobs wait, and no worker has worked, for longer than ``patience_seconds``.

    A worker that has just started counts as one that worked: it may be loading what it needs.
    """
    kinds: dict[str, set[str]] = {}
    worked: dict[str, float] = {}
    for worker in live:
        for name, lane in worker.lanes.items():
            kinds.setdefault(name, set()).update(lane["kinds"])
            last = max(lane["worked"] or 0.0, worker.started)
            worked[name] = max(last, worked.get(name, 0.0))
    found = []
    for name in kinds:
        waiting = max((one.oldest_seconds for one in queue if one.kind in kinds[name]), default=0.0)
        idle = now - worked[name]
        if min(waiting, idle) > patience_seconds:
            found.append(StuckLane(name, waiting, idle))
    return found
