"""Many measured values → medians, percentiles, spreads and ratios.

A contender's turns are lists: one for each round in which it took part, of one value or more. Who
has used up its time takes no part in later rounds.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

from bench.extraction.compare import Spread, significant, spread

Turns = Sequence[Sequence[float]]


def percentile(values: Sequence[float], share: float) -> float:
    """The least of the values that at least this share of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def flat(turns: Turns) -> list[float]:
    return list(itertools.chain.from_iterable(turns))


def ratio(above: Turns, below: Turns) -> Spread:
    """The ratio of the medians of all values, and the least and most of the rounds' own ratios."""
    each = [statistics.median(a) / statistics.median(b) for a, b in zip(above, below, strict=False)]
    medians = statistics.median(flat(above)) / statistics.median(flat(below))
    return spread(each) | {"median": significant(medians)}


def latency(seconds: Turns) -> dict[str, float | int]:
    """Milliseconds of many requests; p99 of fewer than 100 is their largest."""
    values = flat(seconds)
    return {
        "requests": len(values),
        "p50_ms": significant(1e3 * statistics.median(values)),
        "p99_ms": significant(1e3 * percentile(values, 0.99)),
        "min_ms": significant(1e3 * min(values)),
        "max_ms": significant(1e3 * max(values)),
    }
