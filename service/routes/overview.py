"""``/v1/overview``: what is kept, what it was worth, what is going on."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cache.job import FINAL_STATES, Job
from cache.overview import Overview, PackTotals, hit_rate, lowest
from cache.rows import WorkerRow
from cache.sight import EVERYTHING, Sight
from cache.tables import ACTIVE_STATES
from service.answers import utc
from service.caller import Asking
from service.state import Kept
from service.told import Documented, Progress

router = APIRouter(prefix="/v1/overview", tags=["overview"])

COUNTED: Final = {
    "hit_rate": "hits / (hits + extractions): submissions that a pack which is there now answered "
    "at once, against jobs that were ever queued to build a pack",
    "hits": "for each hit the pack's rows, at the rate at which its own rows were computed",
    "row_reuse": "for each row that a pack copied from another, what one of its own rows took",
}


class SavedAnswer(BaseModel):
    """Seconds of extraction that were not done; docs/dashboard-http.md says how each is counted."""

    hits: float
    row_reuse: float
    total: float

    @classmethod
    def of(cls, totals: PackTotals) -> SavedAnswer:
        hits, copies = totals.seconds_by_hits, totals.seconds_by_copies
        return cls(hits=round(hits, 1), row_reuse=round(copies, 1), total=round(hits + copies, 1))


class WorkerJob(BaseModel):
    """What a worker does just now."""

    id: str
    kind: str
    pack_id: str | None
    progress: Annotated[dict[str, Any], Documented(Progress)]

    @classmethod
    def of(cls, job: Job) -> WorkerJob:
        pack_id = job.spec.get("pack_id")
        return cls(id=job.id, kind=job.kind, pack_id=pack_id, progress=job.progress)


class WorkerAnswer(BaseModel):
    """A worker that was heard of lately."""

    worker: str
    device: str
    machine: str
    started: datetime | None
    seen: datetime | None
    byte_limit: int | None
    jobs: list[WorkerJob]
    busy: bool = Field(description="it has jobs, perhaps only such as others do not see")

    @classmethod
    def of(cls, row: WorkerRow, running: list[Job], sight: Sight) -> WorkerAnswer:
        times = {"started": utc(row.started), "seen": utc(row.seen)}
        mine = [job for job in running if job.worker == row.worker]
        seen = [WorkerJob.of(job) for job in mine if sight.sees(job.space)]
        return cls(**(vars(row) | times), jobs=seen, busy=bool(mine))


class OverviewAnswer(BaseModel):
    """Totals. ``byte_limit`` is the lowest that a live worker keeps packs within."""

    object: Literal["overview"] = "overview"
    packs: int
    damaged_packs: int
    rows: int
    bytes: int
    byte_limit: int | None
    heads: int
    datasets: int
    hits: int
    extractions: int
    hit_rate: float | None
    rows_reused: int
    seconds_saved: SavedAnswer
    counted: dict[str, str] = Field(description="how hit_rate and seconds_saved are counted")
    jobs: dict[str, int] = Field(description="state → jobs, ever")
    workers: list[WorkerAnswer]


@router.get("")
def get_overview(kept: Kept, caller: Asking) -> OverviewAnswer:
    """Everything that is kept, in a few numbers, and who works on what."""
    overview = Overview(kept.database, caller.sight)
    totals, extractions = overview.packs(), overview.extractions()
    workers = kept.catalogue.live_workers(kept.settings.worker_silence_seconds)
    running = [job for job in kept.jobs.all_active(EVERYTHING) if job.state == "running"]
    none = dict.fromkeys((*ACTIVE_STATES, *FINAL_STATES), 0)
    return OverviewAnswer(
        packs=totals.packs,
        damaged_packs=totals.damaged,
        rows=totals.rows,
        bytes=totals.bytes,
        byte_limit=lowest([worker.byte_limit for worker in workers]),
        heads=overview.heads(),
        datasets=overview.datasets(),
        hits=totals.hits,
        extractions=extractions,
        hit_rate=hit_rate(totals.hits, extractions),
        rows_reused=totals.rows_copied,
        seconds_saved=SavedAnswer.of(totals),
        counted=COUNTED,
        jobs=none | overview.jobs_by_state(),
        workers=[WorkerAnswer.of(worker, running, caller.sight) for worker in workers],
    )
