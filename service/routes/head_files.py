"""``/v1/heads/{id}/weights|onnx``: a head as a file, alone or with its network."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import FileResponse, StreamingResponse

from cache.errors import NotFound
from cache.identity import hash_file
from cache.job import NewJob
from cache.rows import HeadRow
from service.caller import Asking, Caller
from service.job_answers import JobAnswer
from service.making import Making, made
from service.negotiation import MEDIA_TYPES, Format, chosen_format, told
from service.state import Kept, State
from service.tensors import safetensors
from service.waiting import Prefer

router = APIRouter(prefix="/v1/heads/{head_id}", tags=["heads"])

WEIGHT_FORMATS: tuple[Format, ...] = ("npz", "safetensors")
ONNX = "application/x-onnx"

_WEIGHTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the head's arrays",
        "content": {MEDIA_TYPES[name]: {} for name in WEIGHT_FORMATS},
    }
}
_ONNX: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {ONNX: {}}},
    202: {"description": "it is being made; ask again when the job is done", "model": JobAnswer},
}


@router.get("/weights", response_class=Response, responses=_WEIGHTS)
def get_weights(
    head_id: str,
    kept: Kept,
    caller: Asking,
    format: Annotated[
        str | None,
        Query(
            description="npz or safetensors; else by Accept",
            json_schema_extra=told(*WEIGHT_FORMATS),
        ),
    ] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Response:
    """The head alone: a NumPy ``.npz`` without pickle, or safetensors with the same names.

    ``linear`` has ``weight`` [D, K] and ``bias`` [K], ``mlp`` ``weight_0``, ``bias_0`` and so on,
    ``knn`` ``features`` [M, D], ``label`` [M] and ``k``. ``classes`` [K] and ``kind`` are arrays
    of text in the one, metadata in the other.
    """
    chosen = chosen_format(format, accept, WEIGHT_FORMATS)
    row = kept.catalogue.find_head(head_id, caller.sight)
    path, name = _file(kept, row), f"head_{head_id}.{chosen}"
    if chosen == "npz":
        return FileResponse(path, media_type=MEDIA_TYPES[chosen], filename=name)
    about = {"head_id": head_id, "pack_id": row.pack_id, "method": row.method}
    if row.recipe is not None:
        about["recipe"] = json.dumps(row.recipe)
    size, pieces = safetensors(path, about)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[chosen], headers=headers)


@router.get("/onnx", response_class=Response, responses=_ONNX)
async def get_onnx(
    head_id: str,
    kept: Kept,
    caller: Asking,
    prefer: Prefer = None,
) -> Response:
    """Network and head as one ONNX file: 200 and the file, or 202 and the job that makes it.

    Waits up to 30 seconds. ``images`` float32 [N, 3, H, W], transformed as the file's metadata
    says, give ``probabilities`` float32 [N, K].
    """
    found = await made(kept, partial(_onnx, kept, caller, head_id), prefer)
    if isinstance(found, Response):
        return found
    return FileResponse(found, media_type=ONNX, filename=f"head_{head_id}.onnx")


def _onnx(kept: State, caller: Caller, head_id: str) -> Making:
    """It is kept by the hash of the head's own file: a head that is trained again gets another."""
    row = kept.catalogue.find_head(head_id, caller.sight)
    spec = {"head_id": row.head_id, "head_hash": hash_file(_file(kept, row))}
    key, owner = f"onnx:{row.head_id}:{spec['head_hash']}", caller.within(row.space)
    job = NewJob("onnx", key, spec, owner, submitter=caller.submitter(None))
    return Making(kept.store.export(**spec), job)


def _file(kept: State, row: HeadRow) -> Path:
    path = kept.store.head(row.head_id)
    if not path.is_file():
        raise NotFound(
            f"the file of head {row.head_id!r} is gone", value=row.head_id, remedy="train again"
        )
    return path
