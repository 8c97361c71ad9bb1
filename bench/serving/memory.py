"""Memory of a tree of processes now and over time, from ``/proc``."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.extraction.memory import tree

SAMPLE_SECONDS = 0.1

_SIZES = re.compile(r"^(VmRSS|RssAnon):\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Memory:
    """``resident`` bytes, the pages of mapped files included, and those that are ``anonymous``."""

    resident: int
    anonymous: int

    def told(self) -> dict[str, float]:
        """For the results, in MiB."""
        return {
            "rss_mib": round(self.resident / 2**20, 1),
            "anonymous_mib": round(self.anonymous / 2**20, 1),
        }


def memory(root: int) -> Memory:
    """Of a process and its descendants that are alive; shared pages count for each of them."""
    total = {"VmRSS": 0, "RssAnon": 0}
    for process in tree(root):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        for name, kilobytes in _SIZES.findall(status):
            total[name] += int(kilobytes) << 10
    return Memory(total["VmRSS"], total["RssAnon"])


class Watched:
    """Samples of a tree's memory while the block runs."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.samples = [memory(root)]

    @property
    def peak(self) -> Memory:
        """The largest of each."""
        return Memory(
            max(sample.resident for sample in self.samples),
            max(sample.anonymous for sample in self.samples),
        )

    def _watch(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            self.samples.append(memory(self._root))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
