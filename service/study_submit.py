"""Queue what a study lacks; and no longer want it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from cache.errors import Conflict
from cache.head_ids import head_id_of, head_job_key, kept_params
from cache.job import NewJob
from cache.rows import HeadRow, PackRow, StudyRow
from service.caller import Caller
from service.state import State
from service.study_cells import Cell, Planned, head_spec
from service.submitting import check_hit, extraction_key


def head_of(cell: Cell, heads: dict[str, list[HeadRow]]) -> HeadRow | None:
    """The newest head that is what the cell asks for."""
    asked = cell["method"], kept_params(head_spec(cell))
    return next((h for h in heads.get(cell["pack_id"], ()) if (h.method, h.params) == asked), None)


def submit_study(
    kept: State,
    caller: Caller,
    plan: Planned,
    kind: str,
    submitter: str | None,
    priority: int,
) -> StudyRow:
    """Keep the study and queue its missing packs and heads, in one transaction.

    Packs that share a forward pass appear together, so that one worker takes them together. What
    exists is not made again; a pack is not needed where all of its heads exist.

    Raises:
        Conflict: another pack has the id of one that is needed.
        InvalidRequest: it is about private data of several teams.
    """
    row = plan.row(kind, caller)
    submitter = caller.submitter(submitter)
    for wanted, _, _ in plan.packs.values():
        kept.views.keep(wanted.row, wanted.view, wanted.space, wanted.images)
    kept.jobs.at_once(lambda connection: _submit(connection, kept, plan, row, submitter, priority))
    return kept.studies.find(row.study_id, caller.sight)


def _submit(
    connection: Any, kept: State, plan: Planned, row: StudyRow, submitter: str | None, priority: int
) -> None:
    kept.studies.join(connection, row, submitter)
    heads = kept.studies.heads_in(connection, plan.packs)
    missing = [cell for cell in row.cells if not _is_there(kept, cell, heads)]
    etags, hit = {}, kept.catalogue.hit
    # In one order, packs before heads: two studies that wait for each other's rows would never end.
    for pack_id in sorted({cell["pack_id"] for cell in missing}):
        wanted, recipe, job = plan.packs[pack_id]
        job = replace(job, submitter=submitter_of(row.study_id))
        found = kept.jobs.submit_in(
            connection, job, partial(hit, pack_id=pack_id, store=kept.store, team=row.team)
        )
        if isinstance(found, PackRow):
            check_hit(found, recipe, wanted.images.dataset_id)
            etags[pack_id] = found.etag
    jobs = (_head_job(row, cell, plan, etags, priority) for cell in missing)
    for job in sorted(jobs, key=_key):
        kept.jobs.submit_in(connection, job, lambda _: None)


def _is_there(kept: State, cell: Cell, heads: dict[str, list[HeadRow]]) -> bool:
    head = head_of(cell, heads)
    return head is not None and kept.store.head(head.head_id).exists()


def _head_job(
    row: StudyRow, cell: Cell, plan: Planned, etags: dict[str, str], priority: int
) -> NewJob:
    spec = head_spec(cell)
    named = spec | {"about": {"network": cell["network"], "dataset": cell["dataset"]}}
    if etag := etags.get(cell["pack_id"]):
        named |= {"etag": etag, "head_id": head_id_of(spec, etag)}
    return NewJob(
        "head",
        head_job_key(spec),
        named,
        plan.packs[cell["pack_id"]][2].owner,
        priority=priority,
        submitter=submitter_of(row.study_id),
        after=extraction_key(cell["pack_id"]),
    )


def _key(job: NewJob) -> str:
    return job.key


def submitter_of(study_id: str) -> str:
    """The name under which a study wants its jobs, however many want the study."""
    return f"study {study_id}"


def cancel_study(
    kept: State, caller: Caller, study_id: str, submitter: str | None, *, force: bool
) -> StudyRow:
    """Withdraw one who wants the study; when none is left, it no longer wants its jobs.

    Those that others want go on, and heads that are there stay. Heads go first, so that they are
    cancelled and do not fail for want of their pack.

    Raises:
        NotFound: no such study.
        Forbidden: it is another team's, and nobody of this one wants it.
        Conflict: the submitter is none of the study's.
    """
    row = kept.studies.find(study_id, caller.sight)
    caller.must_want(row, f"study {study_id}", force=force)
    submitter = caller.submitter(submitter)
    nobody = kept.jobs.at_once(
        lambda connection: kept.studies.leave(connection, study_id, submitter, force=force)
    )
    if nobody:
        heads = [head_job_key(head_spec(cell)) for cell in row.cells]
        packs = [extraction_key(cell["pack_id"]) for cell in row.cells]
        known = kept.studies.evidence((), [*heads, *packs]).jobs
        mine = submitter_of(study_id)
        for key in dict.fromkeys([*heads, *packs]):
            job = known.get(key)
            if job is not None and not job.is_final and mine in job.submitters:
                _withdraw(kept, job.id, mine)
    return kept.studies.find(study_id, caller.sight)


def _withdraw(kept: State, job_id: str, mine: str) -> None:
    try:
        kept.jobs.cancel(job_id, mine)
    except Conflict:
        return  # it has ended meanwhile
