"""``python -m bench.serving``: tables, and one JSON object as the last line of stdout."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.extraction.machine import machine
from bench.extraction.rounds import say
from bench.serving.material import NoRoom
from bench.serving.measuring import measure
from bench.serving.plan import FULL, QUICK, Plan
from bench.serving.plot import plot
from bench.serving.report import MEANING, show
from bench.serving.servers import ROOT, Places

STOP = (signal.SIGINT, signal.SIGTERM)
OUTPUT = ROOT / "bench" / "results" / "serving.json"


def main() -> int:
    arguments = _arguments()
    for number in STOP:
        signal.signal(number, _stop)
    places = Places(arguments.nginx, arguments.h5grove, arguments.tiled)
    facts = {"kind": "quick" if arguments.quick else "full", "machine": machine()}
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="featurepack-bench-") as folder:
            result = measure(Path(folder), _plan(arguments), places)
    except NoRoom as error:
        say(f"bench.serving: {error}")
        return 2
    result = headline(result) | facts | result | {"meaning": MEANING}
    result["seconds"] = round(time.monotonic() - began, 1)
    show(Console(width=110), result)
    if not arguments.quick:
        arguments.output.parent.mkdir(exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
        if not plot(result, arguments.output.with_suffix(".png")):
            say("no plot: matplotlib is not installed (the extra 'bench' has it)")
    print(json.dumps(result))
    return 0


def _stop(number: int, _: object) -> None:
    """Servers end when contexts do, in which nobody is to disturb them."""
    for other in STOP:
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)


def headline(result: dict[str, Any]) -> dict[str, Any]:
    """The numbers that matter; null where nginx took no part."""

    def to_nginx(work: str, name: str) -> float | None:
        found: dict[str, float] = result[work]["ratios"].get(f"{name}_vs_nginx", {})
        return found.get("median")

    soak = result["soak"]
    return {
        "client_vs_nginx": to_nginx("whole", "client"),
        "slice_vs_nginx": to_nginx("slice", "ours_raw"),
        "scattered_vs_nginx": to_nginx("scattered", "ours"),
        "soak_errors": soak["error_count"],
        "soak_small_p99_to_p50": soak["small_p99_to_p50"],
    }


def _plan(arguments: argparse.Namespace) -> Plan:
    given = {name: getattr(arguments, name) for name in ("rows", "seconds", "clients")}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(QUICK if arguments.quick else FULL, **changes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than a minute, a smaller pack")
    parser.add_argument("--rows", type=int, help="of the pack; each has 8 KiB")
    parser.add_argument(
        "--seconds", type=float, help="of all measurements together, without starting"
    )
    parser.add_argument("--clients", type=int, nargs="+", help="how many at once, one or more")
    parser.add_argument("--nginx", type=Path, help="its binary")
    parser.add_argument("--h5grove", type=Path, help="an interpreter that has it")
    parser.add_argument("--tiled", type=Path, help="an interpreter that has it")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="where a full run's JSON goes, and its plot"
    )
    arguments = parser.parse_args()
    if arguments.rows is not None and arguments.rows < FULL.slice_rows:
        parser.error(f"--rows must be at least {FULL.slice_rows}, which a slice has")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
