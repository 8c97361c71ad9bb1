"""Slices and scattered rows for 1, 8 and 32 clients at once: rate, waiting, server memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.extraction.compare import spread
from bench.extraction.rounds import say
from bench.serving.compare import flat, latency
from bench.serving.contenders import Asks, expected, scattered, sliced
from bench.serving.generator import Loaded, Weighed, load, weighed
from bench.serving.material import Material
from bench.serving.plan import Plan
from bench.serving.running import Server

CONTENDERS = {
    "slice": ("ours_raw", "nginx", "file_response", "h5grove", "tiled"),
    "scattered": ("ours", "nginx", "file_response"),
}
"""Raw bytes alone: the same for all."""


def measure(
    material: Material,
    servers: Mapping[str, Server],
    plan: Plan,
    able: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """One entry for each work, contender and number of clients, as JSON.

    ``able`` are the works' results with one client; who is not among their contenders takes no
    part.
    """
    works: dict[str, Asks] = {"slice": sliced(material), "scattered": scattered(material)}
    rows = expected(material)
    parts = [
        (work, name, works[work][name])
        for work, names in CONTENDERS.items()
        for name in names
        if name in able[work]["contenders"]
    ]
    seconds = plan.crowd_seconds / (len(parts) * len(plan.clients) * plan.crowd_rounds)
    found: dict[tuple[str, str, int], list[Loaded]] = {}
    for clients in plan.clients:
        for _ in range(plan.crowd_rounds):
            for work, name, ask in parts:
                mix: list[Weighed] = [weighed(work, ask, rows[work])]
                loaded = load(servers[ask.server], mix, clients, seconds)
                found.setdefault((work, name, clients), []).append(loaded)
        say(f"{clients} clients: {len(parts) * plan.crowd_rounds} turns of {seconds:.2g} s")
    return [summary(*of, turns) for of, turns in found.items()]


def summary(work: str, name: str, clients: int, turns: list[Loaded]) -> dict[str, Any]:
    """One contender's turns with so many clients as JSON."""
    seconds = [turn.told["seconds"][work] for turn in turns]
    errors = [error for turn in turns for error in turn.told["errors"]]
    return {
        "work": work,
        "contender": name,
        "clients": clients,
        "mb_per_second": spread([turn.mb_per_second for turn in turns]),
        **(latency(seconds) if flat(seconds) else {"requests": 0}),
        "refused": sum(turn.told["refused"] for turn in turns),
        "error_count": sum(turn.told["error_count"] for turn in turns),
        "errors": errors[:3],
        "peak_rss_mib": spread([turn.peak.resident / 2**20 for turn in turns]),
        "peak_anonymous_mib": spread([turn.peak.anonymous / 2**20 for turn in turns]),
    }
