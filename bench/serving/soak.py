"""Many clients that ask our service for all sizes at once, for a while."""

from __future__ import annotations

import time
from typing import Any

from bench.extraction.compare import significant
from bench.extraction.rounds import say
from bench.serving.compare import latency
from bench.serving.contenders import expected, scattered, sliced, small, whole
from bench.serving.generator import Loaded, load, weighed
from bench.serving.material import Material
from bench.serving.memory import Memory, memory
from bench.serving.running import Server

WEIGHTS = {"small": 0.70, "scattered": 0.20, "slice": 0.09, "whole": 0.01}
"""How often each size is drawn; most of the bytes, and of the time, are those of whole packs."""

REST_SECONDS = 1.0


def measure(material: Material, server: Server, clients: int, seconds: float) -> dict[str, Any]:
    """Errors, waiting by size, and the server's memory before, meanwhile and after, as JSON."""
    rows, features_ND = expected(material), material.features_ND
    asks = {
        "small": (small(material), features_ND[material.small_R]),
        "scattered": (scattered(material)["ours"], rows["scattered"]),
        "slice": (sliced(material)["ours_raw"], rows["slice"]),
        "whole": (whole(material)["ours_features"], features_ND),
    }
    mix = [weighed(name, *asks[name], weight) for name, weight in WEIGHTS.items()]
    loaded = load(server, mix, clients, seconds)
    time.sleep(REST_SECONDS)
    result = summary(loaded, memory(server.pid)) | {"clients": clients, "weights": WEIGHTS}
    say(f"soak: {clients} clients, {seconds:.1f} s, {result['error_count']} errors")
    return result


def summary(loaded: Loaded, rest: Memory) -> dict[str, Any]:
    """As JSON. ``rest`` is the server's memory when it had nothing more to do."""
    told = loaded.told
    sizes = {name: latency([seconds]) for name, seconds in told["seconds"].items() if seconds}
    found = sizes.get("small")
    samples = loaded.samples
    moments = {
        "start": samples[0],
        "middle": samples[len(samples) // 2],
        "end": samples[-1],
        "rest": rest,
        "peak": loaded.peak,
    }
    return {
        "seconds": significant(told["elapsed"]),
        "mb_per_second": significant(loaded.mb_per_second),
        "error_count": told["error_count"],
        "errors": told["errors"],
        "refused": told["refused"],
        "sizes": sizes,
        "small_p99_to_p50": significant(found["p99_ms"] / found["p50_ms"]) if found else None,
        "memory": {name: moment.told() for name, moment in moments.items()},
    }
