"""``python -m bench.extraction``: the table, and one JSON object as the last line of stdout."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.extraction.full import ARRAYS, WORK, Options, full
from bench.extraction.machine import machine
from bench.extraction.plot import plot
from bench.extraction.program import ROOT
from bench.extraction.quick import quick
from bench.extraction.report import MEANING, show
from bench.extraction.rounds import say
from bench.extraction.scaling import memory_ratio

OUTPUT = ROOT / "bench" / "results" / "extraction.json"
THINGSVISION = ROOT / ".bench" / "thingsvision" / "bin" / "python"


def main() -> int:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # contenders end when contexts do
    weights_dir = os.environ.get("FEATUREPACK_WEIGHTS_DIR")
    facts = {"kind": "quick" if arguments.quick else "full", "machine": machine()}
    facts["images"] = str(arguments.images.name) if arguments.images else "made up: seeded noise"
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="featurepack-bench-") as folder:
        scratch = Path(folder)
        if arguments.quick:
            work = [quick(scratch, arguments.images, arguments.weights, weights_dir)]
            result: dict[str, Any] = {"work": work}
        else:
            options = Options(
                rounds=arguments.rounds,
                archive=arguments.images,
                weights=arguments.weights,
                weights_dir=weights_dir,
                thingsvision=arguments.thingsvision,
                only=arguments.only,
            )
            result = full(scratch, options)
    result = headline(result) | facts | result | {"meaning": MEANING}
    result["seconds"] = round(time.monotonic() - began, 1)
    show(Console(width=110), result)
    if not arguments.quick:
        arguments.output.parent.mkdir(exist_ok=True)
        arguments.output.write_text(json.dumps(result, indent=1) + "\n")
        if result["work"] and not plot(result, arguments.output.with_suffix(".png")):
            say("no plot: matplotlib is not installed (the extra 'bench' has it)")
    print(json.dumps(result))
    return 0


def headline(result: dict[str, Any]) -> dict[str, Any]:
    """The two numbers that matter, of the first mobilenet_v2 work, float32."""
    found: dict[str, Any] = {}
    for one in result["work"]:
        if one["work"]["network"] == "mobilenet_v2":
            ratios = one["ratios"]
            found["mobilenet_v2_vs_naive"] = ratios["ours_vs_naive"]["median"]
            found["fraction_of_forward"] = ratios["ours_fraction_of_forward"]["median"]
            found["of"] = one["work"]["name"]
            break
    if result.get("scaling"):
        found["peak_memory_40000_rows_vs_2000"] = memory_ratio(result["scaling"], 2_000, 40_000)
    return found


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.extraction", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, mobilenet_v2 alone")
    parser.add_argument(
        "--images", type=Path, help="zip of split/class/*.png, such as cifar10-100.zip"
    )
    parser.add_argument(
        "--weights", default="IMAGENET1K_V1", help="mobilenet_v2's: a name, or random:<seed>"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only",
        nargs="+",
        choices=(*WORK, ARRAYS),
        default=(*WORK, ARRAYS),
        help="some of the work",
    )
    parser.add_argument(
        "--thingsvision", type=Path, default=THINGSVISION, help="the interpreter that has it"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="where a full run's JSON goes, and its plot"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
