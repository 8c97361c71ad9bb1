"""``/v1/studies``: networks × taps × datasets × methods, compared."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Response

from service.answers import Listing, listing
from service.caller import Asking
from service.negotiation import MEDIA_TYPES, chosen_format, told
from service.paging import DEFAULT_LIMIT, Cursor, Limit
from service.state import Kept
from service.study_answers import StudyAnswer, StudyBrief
from service.study_cells import planned
from service.study_requests import StudyRequest
from service.study_state import look, state_of
from service.study_submit import cancel_study, submit_study
from service.study_tables import as_csv, as_markdown
from service.study_waiting import wait_for_study
from service.waiting import Prefer, wait_seconds

router = APIRouter(prefix="/v1/studies", tags=["studies"])

Format = Annotated[
    str | None,
    Query(
        description="json, csv or markdown; else by Accept",
        json_schema_extra=told("json", "csv", "markdown"),
    ),
]
Accept = Annotated[str | None, Header()]

FORMATS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": StudyAnswer,
        "description": "every cell has ended",
        "content": {"text/csv": {}, "text/markdown": {}},
    }
}


@router.post("", status_code=202, response_model=StudyAnswer, responses=FORMATS)
async def compare(
    request: StudyRequest, response: Response, kept: Kept, caller: Asking, prefer: Prefer = None
) -> StudyAnswer:
    """Compare: 200 when every head is there (or failed), else 202, and they are made meanwhile.

    Every combination is checked before anything is queued. The same study twice is one study; what
    failed or is gone is tried again.
    """
    plan = await run_sync(planned, kept, caller, request)
    row = await run_sync(
        submit_study, kept, caller, plan, "study", request.submitter, request.priority
    )
    seen = await wait_for_study(kept, row, wait_seconds(prefer))
    response.status_code = 202 if state_of(seen) == "running" else 200
    response.headers["Location"] = f"/v1/studies/{row.study_id}"
    return StudyAnswer.of(row, seen)


@router.get("")
def list_studies(
    kept: Kept, caller: Asking, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Listing[StudyBrief]:
    """Studies, newest first, those of advice among them."""
    return listing(
        kept.studies.page(caller.sight, cursor=cursor, limit=limit),
        lambda row: StudyBrief.of(row, look(kept, row)),
    )


@router.get("/{study_id}", response_model=StudyAnswer, responses=FORMATS)
async def get_study(
    study_id: str,
    kept: Kept,
    caller: Asking,
    format: Format = None,
    accept: Accept = None,
    prefer: Prefer = None,
) -> Any:
    """Cells, the labs' tables and an honest ranking, as JSON, CSV (a line for each cell) or
    Markdown. ``Prefer: wait=N`` waits until every cell has ended.
    """
    chosen = chosen_format(format, accept, ("json", "csv", "markdown"))
    row = await run_sync(kept.studies.find, study_id, caller.sight)
    seen = await wait_for_study(kept, row, wait_seconds(prefer))
    answer = StudyAnswer.of(row, seen)
    if chosen == "json":
        return answer
    text = as_csv(answer) if chosen == "csv" else as_markdown(answer)
    return Response(text, media_type=MEDIA_TYPES[chosen])


@router.post("/{study_id}/cancel")
def cancel(
    study_id: str,
    kept: Kept,
    caller: Asking,
    submitter: Annotated[str | None, Query(description="who withdraws")] = None,
    force: Annotated[bool, Query(description="cancel it whoever wants it")] = False,
) -> StudyAnswer:
    """Withdraw one who wants the study. With the last, the jobs that nobody else wants end;
    heads that are there stay.
    """
    row = cancel_study(kept, caller, study_id, submitter, force=force)
    return StudyAnswer.of(row, look(kept, row))
