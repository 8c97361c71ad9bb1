"""Turns of several contenders, by turns."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack

from bench.extraction.turn import Start, Turn

Turns = dict[str, list[Turn]]


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def fresh(work: str, starts: Mapping[str, Start], rounds: int) -> Turns:
    """``rounds`` turns of each; every turn is that of a new process, which is alone."""
    turns: Turns = {name: [] for name in starts}
    for number in range(rounds):
        for name, start in starts.items():
            with start() as contender:
                turns[name].append(turn := contender.turn())
            _tell(work, number, name, turn)
    return turns


def standing(work: str, starts: Mapping[str, Start], *, seconds: float, at_least: int) -> Turns:
    """Turns of processes that all stay: at least so many of each, and more while there is time."""
    turns: Turns = {name: [] for name in starts}
    began = time.monotonic()
    with ExitStack() as stack:
        contenders = {name: stack.enter_context(start()) for name, start in starts.items()}
        ready = time.monotonic()
        number = 0
        while True:
            for name, contender in contenders.items():
                turns[name].append(turn := contender.turn())
                _tell(work, number, name, turn)
            number += 1
            a_round = (time.monotonic() - ready) / number
            if number >= at_least and time.monotonic() - began + a_round > seconds:
                return turns


def _tell(work: str, number: int, name: str, turn: Turn) -> None:
    say(
        f"{work} round {number + 1}: {name} {turn.images_per_second:.1f} images/s "
        f"({turn.images} in {turn.seconds:.1f} s, {turn.peak_bytes >> 20} MiB)"
    )
