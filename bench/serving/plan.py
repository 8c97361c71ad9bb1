"""How large and how long: one value that all measurements follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """``seconds`` are those of the measurements alone, without the servers' starts.

    A pack has ``rows`` of ``width`` float32; a slice is ``slice_rows`` neighbours, and
    ``scattered_rows`` are drawn from the whole pack. Each server has ``crowd_rounds`` turns with
    as many clients at once as ``clients`` says. A measurement's share of the seconds is divided
    equally among all who take part in it; each of them has at least one turn.
    """

    seconds: float
    rows: int
    crowd_rounds: int
    width: int = 2048
    slice_rows: int = 1024
    scattered_rows: int = 100
    small_rows: int = 10
    clients: Sequence[int] = (1, 8, 32)
    soak_clients: int = 16

    @property
    def whole_seconds(self) -> float:
        return 0.25 * self.seconds

    @property
    def slice_seconds(self) -> float:
        return 0.2 * self.seconds

    @property
    def scattered_seconds(self) -> float:
        return 0.1 * self.seconds

    @property
    def crowd_seconds(self) -> float:
        return 0.25 * self.seconds

    @property
    def soak_seconds(self) -> float:
        return 0.2 * self.seconds


FULL = Plan(seconds=300.0, rows=50_000, crowd_rounds=3)
QUICK = Plan(seconds=26.0, rows=24_000, crowd_rounds=1)
