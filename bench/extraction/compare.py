"""Many turns → medians, spreads and ratios."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.extraction.rounds import Turns
from bench.extraction.turn import Turn

Spread = dict[str, float]

NAIVE = ("naive_0_workers", "naive_2_workers")
NAIVE_KEPT = ("naive_kept_0_workers", "naive_kept_2_workers")


def spread(values: Sequence[float]) -> Spread:
    """Median, least and most."""
    return {
        "median": significant(statistics.median(values)),
        "min": significant(min(values)),
        "max": significant(max(values)),
    }


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """The ratio of the medians, and the least and most of the rounds' own ratios."""
    each = [a / b for a, b in zip(above, below, strict=True)]
    medians = statistics.median(above) / statistics.median(below)
    return spread(each) | {"median": significant(medians)}


def significant(value: float) -> float:
    """Four digits say all that a timing knows."""
    return float(f"{value:.4g}")


def faster(turns: Turns, names: Sequence[str]) -> str:
    """Of those that took part, the one with the higher median of images per second."""
    took_part = [name for name in names if name in turns]
    return max(took_part, key=lambda name: statistics.median(rates(turns[name])))


def rates(turns: Sequence[Turn]) -> list[float]:
    return [turn.images_per_second for turn in turns]


def extraction_rates(turns: Sequence[Turn]) -> list[float]:
    """Of ours alone: the pack's own images per second, from the first image to the last row."""
    return [turn.facts["images_per_second"] for turn in turns]


def summary(turns: Sequence[Turn]) -> dict[str, Any]:
    """One contender's turns as JSON."""
    first = [turn.first_row_seconds for turn in turns if turn.first_row_seconds is not None]
    of: Callable[[Callable[[Turn], float]], Spread] = lambda get: spread([*map(get, turns)])  # noqa: E731
    return {
        "images": turns[0].images,
        "images_per_second": spread(rates(turns)),
        "seconds": of(lambda turn: turn.seconds),
        "seconds_with_start": of(lambda turn: turn.start_seconds + turn.seconds),
        "first_row_seconds": spread(first) if first else None,
        "peak_mib": of(lambda turn: turn.peak_bytes / 2**20),
        "turns": [dict(turn.facts) for turn in turns if turn.facts],
    }


def ratios(turns: Turns) -> dict[str, Spread]:
    """What ours is compared with; the faster of 0 and 2 workers counts as the naive loop."""
    found = {}
    others = {
        "naive": faster(turns, NAIVE),
        **({"naive_kept": faster(turns, NAIVE_KEPT)} if NAIVE_KEPT[0] in turns else {}),
        **({"thingsvision": "thingsvision"} if "thingsvision" in turns else {}),
    }
    for mine in ("ours", "ours_fast"):
        if mine in turns:
            for other, name in others.items():
                found[f"{mine}_vs_{other}"] = ratio(rates(turns[mine]), rates(turns[name]))
            if (limit := f"forward{mine.removeprefix('ours')}") in turns:
                found[f"{mine}_fraction_of_forward"] = ratio(
                    extraction_rates(turns[mine]), rates(turns[limit])
                )
    return found


def compared(work: Mapping[str, Any], turns: Turns, skipped: Mapping[str, str]) -> dict[str, Any]:
    """One piece of work as JSON."""
    return {
        "work": dict(work),
        "contenders": {name: summary(of) for name, of in turns.items()},
        "ratios": ratios(turns),
        "skipped": dict(skipped),
    }
