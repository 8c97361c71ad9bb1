"""What more rows cost: the same small work over growing datasets, each in a new worker.

The images are arrays of 32 × 32 random pixels and the network's input is as small, so that decoding
and computing are cheap and whatever grows with the rows shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.extraction.images import write_arrays
from bench.extraction.ours import running
from bench.extraction.rounds import say
from bench.extraction.turn import Turn
from bench.extraction.work import Work

ROWS = (1_000, 2_000, 10_000, 40_000, 100_000)
INPUT = 32


def scaling(scratch: Path) -> list[dict[str, Any]]:
    """Seconds and memory for each size as JSON, with its ratios to the smallest."""
    turns = [_turn(scratch / str(rows), rows) for rows in ROWS]
    return [
        {
            "rows": turn.images,
            "seconds": round(turn.seconds, 3),
            "images_per_second": round(turn.images_per_second, 1),
            "peak_mib": turn.peak_bytes >> 20,
            "seconds_to_smallest": round(turn.seconds / turns[0].seconds, 3),
            "peak_to_smallest": round(turn.peak_bytes / turns[0].peak_bytes, 3),
        }
        for turn in turns
    ]


def memory_ratio(sizes: list[dict[str, Any]], fewer: int, more: int) -> float | None:
    """Peak memory of ``more`` rows over that of ``fewer``; None where either is not among them."""
    peak = {size["rows"]: size["peak_mib"] for size in sizes}
    return round(peak[more] / peak[fewer], 3) if {fewer, more} <= peak.keys() else None


def _turn(scratch: Path, rows: int) -> Turn:
    """Registering is memory too, so a worker that only extracts comes after it."""
    scratch.mkdir(parents=True)
    work = Work(
        "arrays",
        "squeezenet1_1",
        "random:0",
        None,
        "stretch",
        scratch / "arrays",
        rows,
        changes={"size": [INPUT, INPUT]},
    )
    file = scratch / "arrays.npz"
    write_arrays(file, rows)
    with running(work, scratch / "store") as registering:
        registering.upload("arrays", file)
    file.unlink()
    with running(work, scratch / "store") as contender:
        turn = contender.turn()
    say(f"{rows} rows: {turn.seconds:.1f} s, {turn.peak_bytes >> 20} MiB")
    return turn
