"""What a study's cells are at, as heads, jobs and packs tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cache.head_ids import head_job_key
from cache.job import Job
from cache.rows import HeadRow, PackRow, StudyRow
from cache.studies import Evidence
from service.state import State
from service.study_cells import Cell, head_spec
from service.study_submit import head_of
from service.submitting import extraction_key

CellState = Literal[
    "queued", "extracting", "training", "succeeded", "failed", "cancelled", "missing"
]
StudyState = Literal["running", "succeeded", "failed", "cancelled", "missing"]

ACTIVE = ("queued", "extracting", "training")


@dataclass(frozen=True)
class Seen:
    """A cell, and what there is of it; ``job`` is the one that works on it or ended it."""

    cell: Cell
    state: CellState
    head: HeadRow | None
    pack: PackRow | None
    job: Job | None

    @property
    def accuracy(self) -> float:
        """Of a cell with a head."""
        assert self.head is not None
        return float(self.head.metrics["validation_accuracy"])

    @property
    def interval(self) -> tuple[float, float]:
        assert self.head is not None
        low, high = self.head.metrics["validation_interval"]
        return float(low), float(high)


def look(kept: State, row: StudyRow) -> list[Seen]:
    """Every cell as it is now."""
    keys = {head_job_key(head_spec(cell)) for cell in row.cells}
    pack_ids = {cell["pack_id"] for cell in row.cells}
    evidence = kept.studies.evidence(pack_ids, keys | {extraction_key(p) for p in pack_ids})
    return [_seen(cell, evidence) for cell in row.cells]


def _seen(cell: Cell, evidence: Evidence) -> Seen:
    pack = evidence.packs.get(cell["pack_id"])
    job = evidence.jobs.get(head_job_key(head_spec(cell)))
    head = head_of(cell, evidence.heads)
    state: CellState = "missing"
    if job is not None and not job.is_final:
        building = evidence.jobs.get(extraction_key(cell["pack_id"]))
        state = "training" if job.state == "running" else "queued"
        if job.waits_for and building is not None:
            job = building
            state = "extracting" if building.state == "running" else "queued"
    elif head is not None:
        state = "succeeded"
    elif job is not None and job.state in ("failed", "cancelled"):
        state = "failed" if job.state == "failed" else "cancelled"
    return Seen(cell, state, head if state == "succeeded" else None, pack, job)


def state_of(seen: list[Seen]) -> StudyState:
    """``missing`` are cells whose head was deleted: the same study again makes them."""
    states = {one.state for one in seen}
    if states & set(ACTIVE):
        return "running"
    for state in ("failed", "cancelled", "missing"):
        if state in states:
            return state
    return "succeeded"


def progress_of(seen: list[Seen]) -> dict[str, Any]:
    """How many cells are done, and how many are in each state."""
    counts: dict[str, int] = {}
    for one in seen:
        counts[one.state] = counts.get(one.state, 0) + 1
    done = sum(one.state not in ACTIVE for one in seen)
    return {"cells_done": done, "cells_total": len(seen), "states": counts}
