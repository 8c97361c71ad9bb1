"""``python -m bench.flood``: does one team that floods make another's small reads wait?

A service with keys, one pack, two teams. The quiet team's clients read ten rows by number, again
and again: by turns by themselves, and while the other team's clients ask for everything at once.
The last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import secrets
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import httpx

from bench.extraction.compare import significant, spread
from bench.extraction.machine import machine
from bench.extraction.rounds import say
from bench.serving.compare import latency, percentile
from bench.serving.contenders import RAW, Ask, expected, scattered, sliced, small, whole
from bench.serving.generator import Loaded, Weighed, load, weighed
from bench.serving.material import DATASET, NETWORK, WEIGHTS, Material, make
from bench.serving.plan import QUICK
from bench.serving.running import Server, started
from bench.serving.servers import OURS, Places, makers

QUIET, FLOOD = "quiet", "flood"
ROUNDS = 6
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
    with started(spec, folder / "log") as starting:
        server = starting.wait()
        few = max(1, clients // 16)
        counts = {QUIET: few, FLOOD: clients - few}
        headers = {team: _key(server, admin.read_text(), team) for team in counts}
        each = seconds / ROUNDS
        rounds = [_round(server, material, counts, headers, each) for _ in range(ROUNDS)]
    return summary(rounds) | {"clients": counts}


@dataclass(frozen=True)
class Round:
    """The quiet team by itself, then during the flood, and the flood."""

    quiet: Loaded
    flooded: Loaded
    flood: Loaded

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles of small reads: how much longer they take in the flood."""
        return _p99(self.flooded) / _p99(self.quiet)


def _round(
    server: Server,
    material: Material,
    counts: Mapping[str, int],
    headers: Mapping[str, Mapping[str, str]],
    seconds: float,
) -> Round:
    reads = [weighed("small", small(material), material.features_ND[material.small_R])]
    quiet = load(server, reads, counts[QUIET], seconds, headers[QUIET])
    with ThreadPoolExecutor(1) as pool:
        mix = _mix(material)
        flood = pool.submit(load, server, mix, counts[FLOOD], seconds, headers[FLOOD])
        flooded = load(server, reads, counts[QUIET], seconds, headers[QUIET])
        found = Round(quiet, flooded, flood.result())
    say(f"small reads in the flood: p99 {found.ratio:.1f} times that without it")
    return found


def summary(rounds: Sequence[Round]) -> dict[str, Any]:
    """As JSON. Rounds are compared one by one: the machine changes while they are measured."""
    parts = {name: [getattr(one, name) for one in rounds] for name in ("quiet", "flooded", "flood")}
    ratios = [one.ratio for one in rounds]
    everyone = [loaded for part in parts.values() for loaded in part]
    floods = parts["flood"]
    moments = {
        "first": floods[0].samples[-1],
        "half": floods[len(floods) // 2].samples[-1],
        "last": floods[-1].samples[-1],
        "peak": max((one.peak for one in floods), key=lambda peak: peak.resident),
    }
    return {
        "p99_flooded_to_quiet": spread(ratios),
        "small_reads": {name: _told(parts[name])["small"] for name in ("quiet", "flooded")},
        "flood": _told(floods),
        "refused": {name: sum(one.told["refused"] for one in part) for name, part in parts.items()},
        "flood_mb_per_second": significant(median(one.mb_per_second for one in floods)),
        "errors": [error for one in everyone for error in one.told["errors"]],
        "memory": {name: moment.told() for name, moment in moments.items()},
    }


def _p99(loaded: Loaded) -> float:
    return percentile(loaded.told["seconds"]["small"], 0.99)


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


def _told(all_loaded: Sequence[Loaded]) -> dict[str, Any]:
    names = all_loaded[0].told["seconds"]
    took = {name: [one.told["seconds"][name] for one in all_loaded] for name in names}
    return {name: latency(each) for name, each in took.items() if any(each)}


if __name__ == "__main__":
    raise SystemExit(main())
