"""What a forward pass has done so far, for progress and provenance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from cache.errors import FeaturepackError
from cache.pack_writer import Rows
from worker.rate_history import RateHistory

Stage = Literal["decode", "compute", "write"]


@dataclass(frozen=True)
class Done:
    """Rows that are computed and written, and the seconds it took, by stage.

    ``waits`` is what the thread that had them computed waited for since the batch before.
    """

    row_N: Rows
    broken: dict[int, FeaturepackError]
    decode_seconds: float
    compute_seconds: float
    waits: dict[Stage, float] = field(default_factory=dict)


@dataclass
class Tally:
    """Counts of rows, and seconds by what they went into.

    ``rows_copied`` and ``rows_computed_before`` count what earlier attempts left, too;
    ``computed`` and ``invalid`` are of this attempt. ``decode`` and ``compute`` are sums over the
    threads that do it. ``waits`` are the seconds for which the job's own thread waited for images
    or for features, or wrote: the most of them is what limits the job.
    """

    rows_total: int
    rows_copied: int = 0
    rows_computed_before: int = 0
    to_compute: int = 0
    computed: int = 0
    invalid: int = 0
    decode: float = 0.0
    compute: float = 0.0
    waits: dict[Stage, float] = field(
        default_factory=lambda: {"decode": 0.0, "compute": 0.0, "write": 0.0}
    )
    began: float = field(default_factory=time.perf_counter)
    ended: float | None = None
    history: RateHistory = field(default_factory=RateHistory)

    def resume(self, rows_copied: int, rows_computed: int) -> None:
        """An earlier attempt left so many rows."""
        self.rows_copied, self.rows_computed_before = rows_copied, rows_computed

    def begin(self, to_compute: int) -> None:
        """Whatever could be copied is; so many rows are left, and time is measured from here."""
        self.to_compute = to_compute
        self.rows_copied = max(0, self.rows_total - self.rows_computed_before - to_compute)
        self.began, self.history = time.perf_counter(), RateHistory()

    def end(self) -> None:
        """All rows are written."""
        self.ended = time.perf_counter()

    @property
    def seconds(self) -> float:
        """From the first image to the last row, or to now."""
        return (self.ended or time.perf_counter()) - self.began

    @property
    def rate(self) -> float:
        """Images per second of this attempt."""
        return self.computed / self.seconds

    @property
    def limited_by(self) -> Stage | None:
        """The stage that all others wait for; None as long as nothing is computed."""
        longest = max(self.waits, key=lambda stage: self.waits[stage])
        return longest if self.computed else None

    @contextmanager
    def waiting(self, stage: Stage) -> Iterator[None]:
        """The job's own thread waits for a stage to be done."""
        began = time.perf_counter()
        yield
        self.waits[stage] += time.perf_counter() - began

    def take_waits(self) -> dict[Stage, float]:
        """The seconds waited since they were last taken."""
        taken = dict(self.waits)
        self.waits.update(dict.fromkeys(taken, 0.0))
        return taken

    def add(self, done: Done) -> None:
        """Rows are computed and written."""
        self.computed += len(done.row_N)
        self.invalid += len(done.broken)
        self.decode += done.decode_seconds
        self.compute += done.compute_seconds
        for stage, seconds in done.waits.items():
            self.waits[stage] += seconds
        self.history.note(self.seconds, self.computed)

    def progress(self, phase: str) -> dict[str, Any]:
        computed = self.rows_computed_before + self.computed
        left = self.to_compute - self.computed
        return {
            "phase": phase,
            "rows_total": self.rows_total,
            "rows_done": self.rows_copied + computed,
            "rows_copied": self.rows_copied,
            "rows_computed": computed,
            "rows_invalid": self.invalid,
            "images_per_second": round(self.rate, 1),
            "history": self.history.rates(),
            "seconds_left": round(left / self.rate, 1) if self.computed else None,
        } | self.timers()

    def timers(self) -> dict[str, Any]:
        """Seconds of each stage, and which one the others wait for."""
        return {
            "seconds": round(self.seconds, 3),
            "decode_seconds": round(self.decode, 3),
            "compute_seconds": round(self.compute, 3),
            "write_seconds": round(self.waits["write"], 3),
            "limited_by": self.limited_by,
        }
