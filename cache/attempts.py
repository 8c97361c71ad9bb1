"""What became of each attempt at a job, kept with the job and shown to whoever asks.

An attempt is ``{"attempt", "worker", "began", "ended", "outcome", "error"}``; times are seconds
since 1970 by the database's clock. Outcomes: ``running``, ``succeeded``, ``failed``,
``cancelled``, ``retrying`` (a passing fault; the job pauses and is tried again), ``handed back``
(the worker was asked to end), ``lost`` (nobody prolonged its lease).
"""

from __future__ import annotations

from typing import Any, Final, Literal

Outcome = Literal["succeeded", "failed", "cancelled", "retrying", "handed back", "lost"]

KEPT: Final = 50
"""Older attempts are forgotten."""

Attempts = list[dict[str, Any]]


def begun(attempts: Attempts, attempt: int, worker: str, now: float) -> Attempts:
    """With one more that runs; one that was still running is lost."""
    new = {
        "attempt": attempt,
        "worker": worker,
        "began": now,
        "ended": None,
        "outcome": "running",
        "error": None,
    }
    return [*ended(attempts, "lost", now), new][-KEPT:]


def ended(
    attempts: Attempts, outcome: Outcome, now: float, error: dict[str, Any] | None = None
) -> Attempts:
    """With the last one ended, if it runs."""
    if not attempts or attempts[-1]["outcome"] != "running":
        return attempts
    last = attempts[-1] | {"ended": now, "outcome": outcome, "error": error}
    return [*attempts[:-1], last]
