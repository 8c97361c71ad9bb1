"""The same request again, after its job failed or was cancelled."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from cache.errors import Conflict
from cache.job import Job, NewJob
from cache.rows import PackRow
from service.caller import Caller
from service.state import State
from service.submitting import extraction_key, refuse_broken


def retry(kept: State, caller: Caller, job_id: str, submitter: str | None) -> PackRow | Job:
    """A new job like the old one; the one that somebody submitted meanwhile; or the pack.

    Raises:
        NotFound: no such job.
        Forbidden: it is another team's.
        Conflict: it did not fail and was not cancelled, or what was uploaded for it is gone.
        CorruptData: the pack has broken images, and the request says that they are errors.
    """
    old = kept.jobs.get(job_id, caller.sight)
    caller.must_own(old.team, f"job {job_id}")
    if old.state not in ("failed", "cancelled"):
        raise Conflict(
            f"job {job_id} is {old.state}",
            value=old.state,
            remedy="only a job that failed or was cancelled can be tried again",
        )
    _check_uploads(old)
    pack_id = old.spec.get("pack_id")
    new = NewJob(
        old.kind,
        old.key,
        old.spec,
        old.owner,
        together=old.together,
        priority=old.priority,
        submitter=caller.submitter(submitter),
        after=extraction_key(pack_id) if old.kind == "head" and pack_id else "",
    )
    if old.kind != "extract":
        return kept.jobs.enqueue(new)
    hit, team = kept.catalogue.hit, caller.team
    find = partial(hit, pack_id=old.spec["pack_id"], store=kept.store, team=team)
    found = kept.jobs.submit(new, find)
    if isinstance(found, PackRow):
        refuse_broken(found, old.spec.get("on_error", "mask"))
    return found


def _check_uploads(job: Job) -> None:
    """A worker deletes what was uploaded when the job has ended. Raises Conflict."""
    uploads = job.spec.get("uploads", ())
    gone = [upload["name"] for upload in uploads if not Path(upload["path"]).exists()]
    if gone:
        raise Conflict(
            f"what was uploaded for job {job.id} is gone: {', '.join(gone)}",
            value=gone,
            remedy="upload it again",
        )
