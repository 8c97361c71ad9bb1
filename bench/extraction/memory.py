"""Peak memory of a tree of processes, from ``/proc``."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

SAMPLE_SECONDS = 0.1

_PEAK = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)


def tree(root: int) -> Iterator[int]:
    """A process and all its descendants; those that end meanwhile are left out."""
    yield root
    for listed in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            children = listed.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def peak_bytes(root: int) -> int:
    """Sum of the peaks (VmHWM) of a process and its descendants that are alive."""
    total = 0
    for process in tree(root):
        try:
            found = _PEAK.search(Path(f"/proc/{process}/status").read_text())
        except OSError:
            continue
        total += int(found[1]) << 10 if found else 0
    return total


class PeakMemory:
    """Looks at process trees ten times a second while the block runs.

    Memory that processes share is counted for each of them.
    """

    def __init__(self, roots: Iterable[int]) -> None:
        self._roots = tuple(roots)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0

    def look(self) -> int:
        """The largest sum that was seen, now included."""
        self.bytes = max(self.bytes, sum(peak_bytes(root) for root in self._roots))
        return self.bytes

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.look()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
