"""``python -m bench.flood``: does one team that floods make another's small reads wait?

A service with keys, one pack, two teams. The quiet team's clients read ten rows by number, again
and again: first by themselves, then while the other team's clients ask for everything at once, then
by themselves again. The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx

from bench.extraction.compare import significant
from bench.extraction.machine import machine
from bench.extraction.rounds import say
from bench.serving.compare import latency
from bench.serving.contenders import RAW, Ask, expected, scattered, sliced, small, whole
from bench.serving.generator import Loaded, Weighed, load, weighed
from bench.serving.material import DATASET, NETWORK, WEIGHTS, Material, make
from bench.serving.plan import QUICK
from bench.serving.running import Server, started
from bench.serving.servers import OURS, Places, makers

QUIET, FLOOD = "quiet", "flood"
PAIR: Final = {"network": NETWORK, "dataset": DATASET, "weights": WEIGHTS}

MIX: Final = {
    "small": 0.35,
    "scattered": 0.2,
    "slice": 0.09,
    "whole": 0.01,
    "list": 0.15,
    "submission": 0.15,
    "overview": 0.05,
}
"""How often the flooding team asks for each: reads from memory, large answers that are read from
the disk piece by piece, and calls that look into the database or write to it in threads."""


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="featurepack-bench-") as folder:
        result = measure(Path(folder), arguments.rows, arguments.seconds, arguments.clients)
    print(json.dumps(result | {"machine": machine()}))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.flood", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the flood")
    parser.add_argument("--clients", type=int, default=64, help="of both teams together")
    parser.add_argument("--rows", type=int, default=QUICK.rows, help="of the pack")
    return parser.parse_args()


def measure(folder: Path, rows: int, seconds: float, clients: int) -> dict[str, Any]:
    """Waiting of both teams in milliseconds, errors and memory, as JSON. Raises ServerFailed."""
    material = make(folder, replace(QUICK, rows=rows))
    admin = folder / "admin.key"
    admin.write_text(secrets.token_hex(32))
    spec = makers(Places())[OURS](material, folder)
    key_file = {"FEATUREPACK_ADMIN_KEY_FILE": str(admin)}
    spec = replace(spec, environment={**spec.environment, **key_file})
    few = max(1, clients // 16)
    with started(spec, folder / "log") as starting:
        server = starting.wait()
        keys = {team: _key(server, admin.read_text(), team) for team in (QUIET, FLOOD)}
        reads = [weighed("small", small(material), material.features_ND[material.small_R])]
        say(f"{few} clients by themselves, {seconds / 2:.0f} s")
        before = load(server, reads, few, seconds / 2, keys[QUIET])
        say(f"with {clients - few} that flood, {seconds:.0f} s")
        with ThreadPoolExecutor(1) as pool:
            flood = pool.submit(load, server, _mix(material), clients - few, seconds, keys[FLOOD])
            during = load(server, reads, few, seconds, keys[QUIET])
            flooding = flood.result()
        after = load(server, reads, few, seconds / 2, keys[QUIET])
    told = {"quiet": before, "flooded": during, "after": after}
    quiet = {name: _told(loaded)["small"] for name, loaded in told.items()}
    least = min(quiet["quiet"]["p99_ms"], quiet["after"]["p99_ms"])
    errors = [*(error for one in (*told.values(), flooding) for error in one.told["errors"])]
    return {
        "p99_flooded_to_quiet": significant(quiet["flooded"]["p99_ms"] / least),
        "small_reads": quiet,
        "flood": _told(flooding),
        "flood_refused": flooding.told["refused"],
        "quiet_refused": during.told["refused"],
        "flood_mb_per_second": significant(flooding.mb_per_second),
        "errors": errors,
        "memory": _memory(flooding),
        "clients": {QUIET: few, FLOOD: clients - few},
    }


def _key(server: Server, admin: str, team: str) -> Mapping[str, str]:
    """A new key of a team, as the header to send."""
    with httpx.Client(base_url=server.url, trust_env=False) as http:
        headers = {"Authorization": f"Bearer {admin}"}
        made = http.post("/v1/keys", json={"team": team, "scope": "submit"}, headers=headers)
        made.raise_for_status()
        return {"Authorization": f"Bearer {made.json()['key']}"}


def _mix(material: Material) -> Sequence[Weighed]:
    rows, features_ND = expected(material), material.features_ND
    mix = [
        weighed("small", small(material), features_ND[material.small_R]),
        weighed("scattered", scattered(material)["ours"], rows["scattered"]),
        weighed("slice", sliced(material)["ours_raw"], rows["slice"]),
        weighed("whole", whole(material)["ours_features"], features_ND),
        _json("list", "/v1/packs"),
        _json("submission", "/v1/jobs", PAIR),
        _json("overview", "/v1/overview"),
    ]
    return [replace(one, weight=MIX[one.name]) for one in mix]


def _json(name: str, path: str, body: dict[str, Any] | None = None) -> Weighed:
    sent = None if body is None else json.dumps(body).encode()
    method = "GET" if body is None else "POST"
    ask = Ask(OURS, path, _undecoded, method, {"Accept": f"application/json, {RAW}"}, sent)
    return Weighed(name, ask, None, b"{")


def _undecoded(_: bytes | memoryview) -> Any:
    raise NotImplementedError


def _told(loaded: Loaded) -> dict[str, Any]:
    return {name: latency([took]) for name, took in loaded.told["seconds"].items() if took}


def _memory(loaded: Loaded) -> dict[str, Any]:
    """After the first tenth, at the half, at the end, and the most."""
    samples = loaded.samples
    moments = {
        "tenth": samples[len(samples) // 10],
        "half": samples[len(samples) // 2],
        "end": samples[-1],
        "peak": loaded.peak,
    }
    return {name: moment.told() for name, moment in moments.items()}


if __name__ == "__main__":
    raise SystemExit(main())
