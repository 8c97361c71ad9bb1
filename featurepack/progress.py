"""A job's progress for people: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from featurepack.answers import Job
from featurepack.terminal import console_for

LINE_SECONDS = 5.0
"""Without a terminal: pause between two lines of the same phase."""


class Tell(Protocol):
    """Shows that ``done`` of ``total`` are done (total 0: nobody knows), and a word on it."""

    def __call__(self, done: float, total: float, phase: str, more: str = "") -> None: ...


@contextmanager
def watching(what: str, console: Console | None = None) -> Iterator[Tell]:
    """Something that may take a while, on ``console`` (stderr unless given)."""
    console = console or console_for(sys.stderr)
    if not console.is_terminal:
        yield _Lines(what, console)
        return
    status = TextColumn("{task.fields[status]}", markup=False)
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=30),
        status,
        console=console,
        transient=True,
    )
    with bar:
        task = bar.add_task(what, total=None, status="")

        def tell(done: float, total: float, phase: str, more: str = "") -> None:
            status = ", ".join(filter(None, (phase, more)))
            bar.update(task, completed=done, total=total or None, status=status)

        yield tell


class _Lines:
    def __init__(self, what: str, console: Console) -> None:
        self._what = what
        self._console = console
        self._phase = ""
        self._told = 0.0

    def __call__(self, done: float, total: float, phase: str, more: str = "") -> None:
        now = time.monotonic()
        if phase == self._phase and now - self._told < LINE_SECONDS:
            return
        self._phase, self._told = phase, now
        self._console.print(f"{self._what}: " + ", ".join(filter(None, (phase, more))))


def tell_job(tell: Tell, job: Job) -> None:
    """Show a job's progress: its phase, rows or epochs, rate and time left; or why it waits."""
    progress = job.progress
    if job.is_final:
        return  # what follows says how it ended
    if job.next_try is not None:
        tell(0, 0, f"waits after a fault: {fault_of(job)}", next_try(job.next_try))
    elif not progress or job.state != "running":
        tell(0, 0, job.state)
    elif "epochs" in progress:
        epoch, epochs = progress.get("epoch", 0), progress["epochs"]
        tell(epoch, epochs, _phase(progress), f"epoch {epoch} of {epochs}")
    else:
        rows, total = progress.get("rows_done", 0), progress.get("rows_total", 0)
        tell(rows, total, _phase(progress), ", ".join(_rows(progress, rows, total)))


def fault_of(job: Job) -> str:
    """What a job that waits for its next try met at the last one."""
    errors = [attempt.error for attempt in job.attempts if attempt.error is not None]
    return str(errors[-1].get("detail")) if errors else "what it was is not known"


def next_try(time_: datetime) -> str:
    """When that is, for people: ``next try in 12 s``."""
    left = (time_ - datetime.now(UTC)).total_seconds()
    return f"next try in {duration(left)}" if left >= 0.5 else "next try now"


def _phase(progress: dict[str, Any]) -> str:
    return str(progress.get("phase", "running"))


def _rows(progress: dict[str, Any], rows: int, total: int) -> Iterator[str]:
    if rows or "images_per_second" in progress:
        yield f"{rows} of {total} rows" if total else f"{rows} rows"
    if copied := progress.get("rows_copied"):
        yield f"{copied} copied"
        if computed := progress.get("rows_computed"):
            yield f"{computed} computed"
    if rate := progress.get("images_per_second"):
        yield f"{rate:.0f} images/s"
    if limit := progress.get("limited_by"):
        yield f"limited by {limit}"
    if (left := progress.get("seconds_left")) is not None:
        yield f"{duration(left)} left"


def duration(seconds: float) -> str:
    """``42 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
