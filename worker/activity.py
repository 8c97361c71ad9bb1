"""When each lane of a worker last did real work, for its signs of life."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass
class Activity:
    """Any lane may note, any thread may read."""

    _worked: dict[str, float] = field(default_factory=dict)

    def note(self, lane: str) -> None:
        """Rows, a step of training or the end of a job: something is done that was not before."""
        self._worked[lane] = time.monotonic()

    def idle_seconds(self, lane: str) -> float | None:
        """Since the lane last worked; None if it did not yet."""
        worked = self._worked.get(lane)
        return None if worked is None else time.monotonic() - worked
