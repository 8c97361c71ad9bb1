"""One job of the queue: as it is asked for, and as a row of it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

import sqlalchemy as sa

from cache.sight import Owner
from cache.tables import jobs

FINAL_STATES: Final = ("succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class NewJob:
    """What to do, and where what it makes will lie.

    Two active jobs never share a ``key``: the second submission joins the first. A key names the
    space by itself or by the ids in it, so nobody joins a job that he does not see.

    Jobs with the same non-empty ``together`` may be claimed at once and done in one go.
    ``submitter`` says who wants it: however often that name submits, it counts once. Without a
    name each submission counts as somebody else's. ``after`` is the key of a job that this one
    waits for, if there is such an active one. ``stores`` are the bytes that it will keep, about.
    """

    kind: str
    key: str
    spec: dict[str, Any]
    owner: Owner
    together: str = ""
    priority: int = 0
    submitter: str | None = None
    after: str = ""
    stores: int = 0


@dataclass(frozen=True)
class Job:
    """A row of the queue. Times are seconds since 1970; ``error`` is an error's ``as_dict``.

    What it makes lies in ``space`` and belongs to ``team``, that of its first submitter.

    ``submitters`` maps who wants the job to the priority that was asked for. ``due`` is when a
    queued job may be claimed, or when a running one's lease ends. ``failures`` counts the passing
    faults, and ``deaths`` the lost workers, since the job last got on. ``attempts`` are what
    :mod:`cache.attempts` says. A queued job is not claimed while it ``waits_for`` the job of a key.
    ``request_id`` and ``traceparent`` are of the request that queued it.
    """

    id: str
    kind: str
    key: str
    together: str
    spec: dict[str, Any]
    state: str
    priority: int
    attempt: int
    deaths: int
    failures: int
    due: float
    worker: str | None
    cancelling: bool
    submitters: dict[str, int]
    attempts: list[dict[str, Any]]
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: float
    started: float | None
    finished: float | None
    waits_for: str | None
    space: str
    team: str | None
    request_id: str = ""
    traceparent: str = ""

    @property
    def owner(self) -> Owner:
        return Owner(self.space, self.team)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL_STATES

    @property
    def next_try(self) -> float | None:
        """When a job that pauses after a passing fault may go on."""
        return self.due if self.state == "queued" and self.failures else None


JOB_COLUMNS = [jobs.c[field.name] for field in fields(Job)]


def job_of(row: sa.Row[Any]) -> Job:
    return Job(**row._mapping)
