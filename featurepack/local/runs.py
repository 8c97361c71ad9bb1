"""Who brings which bytes of a file: its missing runs, shared out among connections.

A connection goes on from run to run as long as the next one is nobody's, so that one connection
brings a whole file by one request. Another one begins in the middle of the longest stretch that is
left: both are then as long at work as they can be.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass

from featurepack.local.layout import Span


@dataclass
class Run:
    """Bytes that one connection brings; those before ``at`` are there."""

    start: int
    stop: int
    at: int


class Runs:
    """Runs of whole pieces of ``piece_bytes``. May be used by several threads."""

    def __init__(self, spans: Iterable[Span], piece_bytes: int) -> None:
        self._left = dict(spans)
        self._piece_bytes = piece_bytes
        self._busy = 0
        self._whole: Run | None = None
        self._changed = threading.Condition()
        self.ended = threading.Event()
        """Nobody is to bring anything more."""

    def __len__(self) -> int:
        return len(self._left)

    def take(self) -> Run | None:
        """A run of one's own, as soon as there is one; None when there will be none."""
        with self._changed:
            while not self._left and self._busy and not self.ended.is_set():
                self._changed.wait()
            if not self._left or self.ended.is_set():
                return None
            start = self._middle() if self._busy else min(self._left)
            self._busy += 1
            return Run(start, self._left.pop(start), start)

    def _middle(self) -> int:
        """The start of the run in the middle of the longest stretch."""
        stretches: list[list[int]] = []
        for start in sorted(self._left):
            if stretches and self._left[stretches[-1][-1]] == start:
                stretches[-1].append(start)
            else:
                stretches.append([start])
        longest = max(stretches, key=len)
        return longest[len(longest) // 2]

    def reach(self, run: Run) -> int:
        """How far a run could grow: where bytes begin that are there or that another brings."""
        with self._changed:
            stop = run.stop
            while stop in self._left:
                stop = self._left[stop]
            return stop

    def grow(self, run: Run) -> bool:
        """Add the run behind to this one; False if that is not to be had."""
        with self._changed:
            stop = self._left.pop(run.stop, None)
            run.stop = run.stop if stop is None else stop
            return stop is not None

    def be_whole(self, run: Run, length: int) -> bool:
        """Make the run the whole file, from its first byte; False if another one is that."""
        with self._changed:
            if self._whole not in (None, run):
                return False
            self._whole = run
            self._left.clear()
            run.start, run.at, run.stop = 0, 0, length
            return True

    def leave(self, run: Run) -> None:
        """The run is done, or what is missing of it is left to the others."""
        with self._changed:
            first = max(run.start, run.at - run.at % self._piece_bytes)
            if run.at < run.stop:
                self._left[first] = run.stop
            self._busy -= 1
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self.ended.set()
            self._changed.notify_all()
