"""``/v1/packs/{id}/statistics|map``: what a pack's values are like, and its rows as a picture."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
from anyio.to_thread import run_sync
from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse
from pydantic import BaseModel

from cache.job import NewJob
from cache.rows import PackRow
from service.about import about_pack
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.making import Making, made
from service.negotiation import MEDIA_TYPES
from service.ranges import is_known
from service.state import Kept, State
from service.waiting import Prefer

router = APIRouter(prefix="/v1/packs/{pack_id}", tags=["packs"])

IfNoneMatch = Annotated[str | None, Header()]

_MAKING: dict[int | str, dict[str, Any]] = {
    202: {"description": "it is being made; ask again when the job is done", "model": JobAnswer},
    304: {"description": "If-None-Match names its ETag"},
}


class SplitStatistics(BaseModel):
    """``classes`` counts the rows of each class, in the order of the pack's classes."""

    rows: int
    unlabelled: int
    invalid: int
    classes: list[int]


class ValueStatistics(BaseModel):
    """Of all finite values; ``zeros`` and ``not_finite`` are shares of all values."""

    zeros: float
    not_finite: float
    minimum: float
    maximum: float
    mean: float


class NormStatistics(BaseModel):
    """Of the rows' lengths; ``counts[i]`` rows lie from ``edges[i]`` to ``edges[i + 1]``."""

    mean: float
    minimum: float
    maximum: float
    edges: list[float]
    counts: list[int]


class StatisticsAnswer(BaseModel):
    """What is in a pack. Values and norms are of valid rows, and null where there is none."""

    object: Literal["statistics"]
    pack_id: str
    etag: str
    rows: int
    rows_valid: int
    classes: list[str]
    splits: dict[str, SplitStatistics]
    values: ValueStatistics | None
    norms: NormStatistics | None


_STATISTICS: dict[int | str, dict[str, Any]] = {200: {"model": StatisticsAnswer}}


@router.get("/statistics", responses=_STATISTICS | _MAKING)
async def get_statistics(
    pack_id: str,
    kept: Kept,
    caller: Asking,
    prefer: Prefer = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Rows by class and split, and what the values are like: 200, or 202 and the job.

    Computed once by a worker, which is waited for up to 30 seconds, and kept with the pack.
    """
    row = await run_sync(kept.catalogue.find_sound_pack, pack_id, caller.sight)
    headers = _headers(row, "statistics")
    if is_known(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    making = partial(_making, kept, caller, row, "statistics", "statistics.json")
    found = await made(kept, making, prefer)
    if isinstance(found, Response):
        return found
    return FileResponse(found, media_type="application/json", headers=headers)


_MAP: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "a record of 16 bytes for each point, little-endian: x and y float32, row "
        "uint32, label int32 (-1: unlabelled); X-Featurepack-Points says how many",
        "content": {MEDIA_TYPES["raw"]: {}, MEDIA_TYPES["npy"]: {}},
    }
}


@router.get("/map", response_class=Response, responses=_MAP | _MAKING)
async def get_map(
    pack_id: str,
    kept: Kept,
    caller: Asking,
    method: Annotated[Literal["pca", "tsne"], Query()] = "pca",
    format: Annotated[
        Literal["npy", "raw"], Query(description="a structured array, or its records alone")
    ] = "npy",
    prefer: Prefer = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The valid rows as points in the plane: 200, or 202 and the job that computes them.

    At most 100,000 rows by ``pca``, 5,000 by ``tsne``, drawn in the proportions of splits and
    classes; the same points every time. Kept with the pack.
    """
    row = await run_sync(kept.catalogue.find_sound_pack, pack_id, caller.sight)
    headers = _headers(row, f"{method}-{format}")
    if is_known(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    making = partial(_making, kept, caller, row, "map", f"{method}.npy", method=method)
    found = await made(kept, making, prefer)
    if isinstance(found, Response):
        return found
    points_N = await run_sync(np.load, found)
    headers["X-Featurepack-Points"] = str(len(points_N))
    if format == "npy":
        return FileResponse(found, media_type=MEDIA_TYPES["npy"], headers=headers)
    return Response(points_N.tobytes(), media_type=MEDIA_TYPES["raw"], headers=headers)


def _making(kept: State, caller: Caller, row: PackRow, kind: str, what: str, **more: str) -> Making:
    kept.catalogue.touch_pack(row.pack_id)  # not to be evicted before its job is there
    spec = {"pack_id": row.pack_id, "etag": row.etag, "what": what} | about_pack(row) | more
    key, owner = f"{kind}:{row.pack_id}:{row.etag}:{what}", caller.within(row.space)
    job = NewJob(kind, key, spec, owner, submitter=caller.submitter(None))
    return Making(kept.store.derived(row.pack_id, row.etag, what), job)


def _headers(row: PackRow, what: str) -> dict[str, str]:
    return {"ETag": f'"{row.etag}-{what}"', "Cache-Control": "private, no-cache"}
