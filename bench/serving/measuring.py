"""All servers up, all measurements one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.extraction.rounds import say
from bench.serving import crowd, latency, soak, whole
from bench.serving.contenders import CANNOT, expected, scattered, sliced
from bench.serving.material import Material, make
from bench.serving.plan import Plan
from bench.serving.running import Server, ServerFailed, started
from bench.serving.servers import OURS, Missing, Places, makers


def measure(folder: Path, plan: Plan, places: Places) -> dict[str, Any]:
    """Everything as JSON, in a temporary ``folder``. Raises NoRoom, ServerFailed, Refused."""
    say(f"writing a pack of {plan.rows} rows")
    material = make(folder, plan)
    rows = expected(material)
    skipped: dict[str, str] = {}
    with serving(material, folder, places, skipped) as servers:
        result: dict[str, Any] = {
            "pack": material.told(),
            "servers": {name: server.version for name, server in servers.items()},
            "skipped": skipped,
            "whole": whole.measure(material, servers, plan.whole_seconds),
        }
        for work, asks, seconds in (
            ("slice", sliced(material), plan.slice_seconds),
            ("scattered", scattered(material), plan.scattered_seconds),
        ):
            result[work] = latency.measure(work, asks, rows[work], servers, seconds)
        result["scattered"]["skipped"] |= CANNOT
        result["crowd"] = crowd.measure(material, servers, plan, result)
        result["soak"] = soak.measure(material, servers[OURS], plan.soak_clients, plan.soak_seconds)
    return result


@contextmanager
def serving(
    material: Material, folder: Path, places: Places, skipped: dict[str, str]
) -> Iterator[dict[str, Server]]:
    """All servers that are installed, running; ``skipped`` learns why others are not.

    Raises ServerFailed: ours does not come up.
    """
    with ExitStack() as stack:
        starting = {}
        for name, spec_of in makers(places).items():
            mine = folder / name
            mine.mkdir()
            try:
                spec = spec_of(material, mine)
            except Missing as missing:
                _skip(skipped, name, str(missing))
            else:
                starting[name] = stack.enter_context(started(spec, mine / "log"))
        servers = {}
        for name, process in starting.items():
            try:
                servers[name] = process.wait()
            except ServerFailed as failed:
                if name == OURS:
                    raise
                _skip(skipped, name, str(failed))
        say(f"serving: {', '.join(servers)}")
        yield servers


def _skip(skipped: dict[str, str], name: str, why: str) -> None:
    skipped[name] = why
    say(f"{name} is skipped: {why}")
