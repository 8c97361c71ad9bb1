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

    ``computed`` and ``invalid`` are of this attempt; ``rows_done`` counts what an earlier one left.
    ``decode`` is the sum over decoding threads; ``compute`` and ``write`` are of the one thread
    that does both.
    """

    rows_total: int
    rows_done: int = 0
    computed: int = 0
    invalid: int = 0
    decode: float = 0.0
    compute: float = 0.0
    write: float = 0.0
    began: float = field(default_factory=time.perf_counter)

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
        self.rows_done += len(batch.valid_N)
        self.computed += len(batch.valid_N)
        self.invalid += len(batch.broken)
        self.decode += batch.decode_seconds

    def progress(self) -> dict[str, Any]:
        left = self.rows_total - self.rows_done
        return {
            "phase": "extracting",
            "rows_total": self.rows_total,
            "rows_done": self.rows_done,
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
