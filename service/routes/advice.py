"""``/v1/advice``: which layer of a network for a dataset, would more images help, what to do."""

from __future__ import annotations

from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Response

from cache.errors import NotFound
from service.advice import plan_advice
from service.advice_answers import AdviceAnswer
from service.caller import Asking
from service.negotiation import MEDIA_TYPES, chosen_format, told
from service.state import Kept
from service.study_requests import AdviceRequest
from service.study_submit import submit_study
from service.study_waiting import wait_for_study
from service.waiting import Prefer, wait_seconds

router = APIRouter(prefix="/v1/advice", tags=["studies"])

KIND = "advice"


@router.post(
    "",
    status_code=202,
    response_model=AdviceAnswer,
    responses={200: {"model": AdviceAnswer, "description": "every head has ended"}},
)
async def advise(
    request: AdviceRequest, response: Response, kept: Kept, caller: Asking, prefer: Prefer = None
) -> AdviceAnswer:
    """Advice on one network and one dataset: 200 when all figures are there, else 202.

    Linear heads on several layers, extracted by one forward pass, and on the last one with parts
    of train. The same request again goes on with what is there.
    """
    plan = await run_sync(plan_advice, kept, caller, request)
    row = await run_sync(
        submit_study, kept, caller, plan, KIND, request.submitter, request.priority
    )
    seen = await wait_for_study(kept, row, wait_seconds(prefer))
    answer = AdviceAnswer.of(row, seen)
    response.status_code = 202 if answer.state == "running" else 200
    response.headers["Location"] = f"/v1/advice/{row.study_id}"
    return answer


@router.get(
    "/{advice_id}",
    response_model=AdviceAnswer,
    responses={200: {"model": AdviceAnswer, "content": {"text/markdown": {}}}},
)
async def get_advice(
    advice_id: str,
    kept: Kept,
    caller: Asking,
    format: Annotated[
        str | None,
        Query(
            description="json or markdown; else by Accept",
            json_schema_extra=told("json", "markdown"),
        ),
    ] = None,
    accept: Annotated[str | None, Header()] = None,
    prefer: Prefer = None,
) -> Any:
    """Advice as far as its figures are there; its heads one by one, and how to cancel them, are
    below ``/v1/studies`` with the same id.
    """
    chosen = chosen_format(format, accept, ("json", "markdown"))
    row = await run_sync(kept.studies.find, advice_id, caller.sight)
    if row.kind != KIND:
        raise NotFound(
            f"{advice_id!r} is a study, and no advice",
            value=advice_id,
            remedy=f"GET /v1/studies/{advice_id}, or POST /v1/advice",
        )
    answer = AdviceAnswer.of(row, await wait_for_study(kept, row, wait_seconds(prefer)))
    if chosen == "json":
        return answer
    return Response(answer.markdown(), media_type=MEDIA_TYPES[chosen])
