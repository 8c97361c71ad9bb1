"""Turns of several contenders, by turns, until each has used up its share of the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from bench.extraction.rounds import say

Turn = Callable[[], list[float]]
"""One turn: what it measured."""


def by_turns(work: str, turns: Mapping[str, Turn], seconds: float) -> dict[str, list[list[float]]]:
    """A B C A B C …: each for its share of ``seconds``, at least once.

    A share is wall-clock time, whatever a turn measures of it.
    """
    share = seconds / max(1, len(turns))
    spent = dict.fromkeys(turns, 0.0)
    found: dict[str, list[list[float]]] = {name: [] for name in turns}
    while able := [name for name in turns if not found[name] or spent[name] < share]:
        for name in able:
            began = time.monotonic()
            found[name].append(turns[name]())
            spent[name] += time.monotonic() - began
    for name, rounds in found.items():
        values = sum(map(len, rounds))
        say(f"{work}: {name} {values} times in {len(rounds)} turns, {spent[name]:.1f} s")
    return found
