"""Who takes part, by name."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.extraction.ours import ours
from bench.extraction.program import program
from bench.extraction.turn import Start
from bench.extraction.work import Work

LIMIT_SECONDS = 2.0
WORKERS = (0, 2)


class Contenders:
    """Makes contenders, each start with a folder of its own below ``scratch``."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._numbers = itertools.count()

    def _folder(self) -> Path:
        return self._scratch / f"{next(self._numbers):04}"

    def _program(self, module: str, python: str = sys.executable, **spec: object) -> Start:
        name = f"bench.extraction.{module}"
        return lambda: program(python, name, spec, self._folder())

    def naive(self, work: Work, workers: Sequence[int] = WORKERS) -> dict[str, Start]:
        return {
            f"naive_{count}_workers": self._program(
                "naive", **work.spec(workers=count, keep_freed_memory=False)
            )
            for count in workers
        }

    def naive_kept(self, work: Work) -> dict[str, Start]:
        """The same, given our allocator."""
        return {
            f"naive_kept_{workers}_workers": self._program(
                "naive", **work.spec(workers=workers, keep_freed_memory=True)
            )
            for workers in WORKERS
        }

    def thingsvision(self, work: Work, python: Path) -> dict[str, Start]:
        return {"thingsvision": self._program("thingsvision_loop", str(python), **work.spec())}

    def ours(self, work: Work, name: str = "ours", *, warm: bool = True) -> dict[str, Start]:
        return {name: lambda: ours(work, self._folder(), warm=warm)}

    def forward(self, work: Work, name: str = "forward") -> dict[str, Start]:
        return {name: self._program("forward_limit", **work.spec(seconds=LIMIT_SECONDS))}
