"""What a forward pass has done so far, for progress and provenance."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.pipeline import Batch


@dataclass
class Tally:
    """Counts of rows, and seconds by what they went into.

    ``rows_copied`` and ``rows_computed_before`` count what earlier attempts left, too;
    ``computed`` and ``invalid`` are of this attempt. ``decode`` is the sum over decoding threads;
    ``compute`` and ``write`` are of the one thread that does both.
    """

    rows_total: int
    rows_copied: int = 0
    rows_computed_before: int = 0
    to_compute: int = 0
    computed: int = 0
    invalid: int = 0
    decode: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    began: float = field(default_factory=time.perf_counter)

    def resume(self, rows_copied: int, rows_computed: int) -> None:
        """An earlier attempt left so many rows."""
        self.rows_copied, self.rows_computed_before = rows_copied, rows_computed

    def begin(self, to_compute: int) -> None:
        """Whatever could be copied is; so many rows are left, and time is measured from here."""
        self.to_compute = to_compute
        self.rows_copied = max(0, self.rows_total - self.rows_computed_before - to_compute)
        self.began = time.perf_counter()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.began

    @property
    def rate(self) -> float:
        """Images per second of this attempt."""
        return self.computed / self.seconds

    @contextmanager
    def timing(self, what: Literal["compute", "write"]) -> Iterator[None]:
        began = time.perf_counter()
        yield
        setattr(self, what, getattr(self, what) + time.perf_counter() - began)

    def add(self, batch: Batch) -> None:
        """A batch is computed and written."""
        self.computed += len(batch.valid_N)
        self.invalid += len(batch.broken)
        self.decode += batch.decode_seconds

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
            "seconds_left": round(left / self.rate, 1) if self.computed else None,
        }

    def timers(self) -> dict[str, float]:
        return {
            "seconds": round(self.seconds, 3),
            "decode_seconds": round(self.decode, 3),
            "compute_seconds": round(self.compute, 3),
            "write_seconds": round(self.write, 3),
        }
