"""Jobs as they go out over HTTP: what they would cost, how far they are, what came of them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from cache.job import Job
from service.about import About
from service.answers import PackAnswer, is_private, utc
from service.told import Documented, Progress


class AttemptAnswer(BaseModel):
    """What became of one attempt at a job."""

    attempt: int
    worker: str
    began: datetime | None
    ended: datetime | None
    outcome: Literal[
        "running", "succeeded", "failed", "cancelled", "retrying", "handed back", "lost"
    ]
    error: dict[str, Any] | None

    @classmethod
    def of(cls, attempt: dict[str, Any]) -> AttemptAnswer:
        times = {name: utc(attempt[name]) for name in ("began", "ended")}
        return cls(**(attempt | times))


class JobAnswer(BaseModel):
    """A job. ``error`` is there when it failed, ``result`` when it succeeded."""

    object: Literal["job"] = "job"
    id: str
    kind: str
    about: About = Field(description="the network and the dataset that it is about, by name")
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    pack_id: str | None
    team: str | None = Field(description="whose is what it makes")
    private: bool = Field(description="others do not see it")
    priority: int
    submitters: list[str] = Field(description="who wants it; it is cancelled when none is left")
    attempt: int
    attempts: list[AttemptAnswer]
    next_try: datetime | None = Field(description="when it goes on after a passing fault")
    worker: str | None
    cancelling: bool
    waits_for: str | None = Field(description="the key of the job that must succeed before")
    progress: Annotated[dict[str, Any], Documented(Progress)]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: datetime | None
    started: datetime | None
    finished: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        names = ("id", "kind", "state", "priority", "attempt", "worker", "cancelling", "waits_for")
        return cls(
            about=About.of(job.kind, job.spec),
            team=job.team,
            private=is_private(job),
            pack_id=job.spec.get("pack_id"),
            submitters=list(job.submitters),
            attempts=[AttemptAnswer.of(attempt) for attempt in job.attempts],
            next_try=utc(job.next_try),
            progress=job.progress,
            result=job.result,
            error=job.error,
            created=utc(job.created),
            started=utc(job.started),
            finished=utc(job.finished),
            **{name: getattr(job, name) for name in names},
        )


class Submissions(BaseModel):
    """The answer to several taps at once: a pack or a job for each, in order."""

    items: list[PackAnswer | JobAnswer]


class EstimateAnswer(BaseModel):
    """What a submission would cost.

    ``rows_cached`` need not be computed: other packs have them, or they repeat others of the
    dataset. ``seconds`` follow from the rate that was measured last, on a machine with a live
    worker if there is one; null before this network was measured.
    """

    pack_id: str
    cached: bool
    rows: int
    rows_cached: int
    rows_to_compute: int
    row_shape: list[int] | None
    bytes: int | None
    seconds: float | None
    images_per_second: float | None
    measured_on: str | None
