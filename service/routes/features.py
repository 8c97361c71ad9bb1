"""``/v1/packs/{id}/features|labels|index|rows``: slices of a pack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse

from cache.errors import InvalidRequest, TooLarge
from cache.pack import Pack
from service import encode
from service.encode import Rows
from service.schemas import RowsRequest
from service.selection import Selection, listed
from service.state import Kept

router = APIRouter(prefix="/v1/packs/{pack_id}", tags=["features"])

Format = Literal["raw", "npy", "json"]

MEDIA_TYPES: dict[Format, str] = {
    "raw": "application/octet-stream",
    "npy": "application/x-npy",
    "json": "application/json",
}
MAX_JSON_VALUES = 4_000_000

_CONTENT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the rows; of raw bytes, X-Featurepack-Shape and -Dtype tell the layout",
        "content": {
            "application/octet-stream": {},
            "application/x-npy": {},
            "application/json": {
                "example": {
                    "shape": [2, 3],
                    "dtype": "float32",
                    "rows": [0, 1],
                    "labels": [7, 2],
                    "features": [[0.0, 1.5, 0.25], [0.5, 0.0, 2.0]],
                }
            },
        },
    }
}


def selection(
    split: Annotated[str | None, Query()] = None,
    start: Annotated[int | None, Query(description="first row, within the split if given")] = None,
    stop: Annotated[int | None, Query(description="row after the last")] = None,
    label: Annotated[str | None, Query(description="a class's name or number")] = None,
) -> Selection:
    return Selection(split, start, stop, label)


def chosen_format(
    format: Annotated[str | None, Query(description="raw, npy or json")] = None,
    accept: Annotated[str | None, Header()] = None,
) -> Format:
    """``?format=`` if given, else the first of ``Accept`` that is known, else raw bytes."""
    known: dict[str, Format] = {"raw": "raw", "npy": "npy", "json": "json"}
    if format is not None:
        if format not in known:
            raise InvalidRequest(
                f"format is {format!r}", value=format, remedy="use raw, npy or json"
            )
        return known[format]
    wanted = [part.partition(";")[0].strip().lower() for part in (accept or "*/*").split(",")]
    for media_type in wanted:
        for name, offered in MEDIA_TYPES.items():
            if media_type == offered:
                return name
    if any(media_type in ("*/*", "application/*") for media_type in wanted):
        return "raw"
    raise InvalidRequest(
        f"Accept is {accept!r}", value=accept, remedy=f"accept {', '.join(MEDIA_TYPES.values())}"
    )


Selected = Annotated[Selection, Depends(selection)]
ChosenFormat = Annotated[Format, Depends(chosen_format)]


@router.get("/features", response_class=StreamingResponse, responses=_CONTENT)
def get_features(
    pack_id: str, selected: Selected, format: ChosenFormat, kept: Kept
) -> StreamingResponse:
    """Feature rows of a split, a range, a class, or any of these together."""
    _, pack = kept.shelf.take(pack_id)
    return _features(pack, selected.rows(pack), format)


@router.post("/rows", response_class=StreamingResponse, responses=_CONTENT)
def post_rows(
    pack_id: str, request: RowsRequest, format: ChosenFormat, kept: Kept
) -> StreamingResponse:
    """Feature rows by number, in the order given; at most 100,000."""
    _, pack = kept.shelf.take(pack_id)
    return _features(pack, listed(pack, request.rows), format)


@router.get("/labels", response_class=StreamingResponse, responses=_CONTENT)
def get_labels(
    pack_id: str, selected: Selected, format: ChosenFormat, kept: Kept
) -> StreamingResponse:
    """The labels (int64, -1 is unlabelled) of the same rows."""
    _, pack = kept.shelf.take(pack_id)
    rows = selected.rows(pack)
    fields = {"rows": rows, "labels": pack.labels_N[_index(rows)], "classes": pack.classes}
    return _send(pack.labels_N, rows, format, fields)


@router.get("/index", response_class=StreamingResponse)
def get_index(pack_id: str, selected: Selected, kept: Kept) -> StreamingResponse:
    """What each row is, as JSON: its number, id, label, content hash and whether it is valid."""
    _, pack = kept.shelf.take(pack_id)
    rows = selected.rows(pack)
    return StreamingResponse(_index_pieces(pack, rows), media_type=MEDIA_TYPES["json"])


def _index_pieces(pack: Pack, rows: Rows) -> Iterator[bytes]:
    head = json.dumps({"classes": pack.classes, "splits": pack.splits}, ensure_ascii=False)
    yield head[:-1].encode() + b', "rows": ['
    for first in range(0, len(rows), 4096):
        part = rows[first : first + 4096]
        text = json.dumps([_describe(pack, int(row)) for row in part], ensure_ascii=False)
        yield (b", " if first else b"") + text[1:-1].encode()
    yield b"]}"


def _describe(pack: Pack, row: int) -> dict[str, Any]:
    return {
        "row": row,
        "row_id": pack.row_id_N[row],
        "label": int(pack.labels_N[row]),
        "row_hash": pack.row_hash_NH[row].tobytes().hex(),
        "valid": bool(pack.valid_N[row]),
    }


def _index(rows: Rows) -> slice | npt.NDArray[np.int64]:
    return slice(rows.start, rows.stop) if isinstance(rows, range) else rows


def _features(pack: Pack, rows: Rows, format: Format) -> StreamingResponse:
    if format != "json":
        return _send(pack.features, rows, format, {})
    values = len(rows) * int(np.prod(pack.features.shape[1:]))
    if values > MAX_JSON_VALUES:
        raise TooLarge(
            f"{values} values are too many for JSON",
            value=values,
            remedy=f"ask for at most {MAX_JSON_VALUES} values, or use raw or npy",
        )
    fields = {
        "rows": rows,
        "labels": pack.labels_N[_index(rows)],
        "features": pack.features[_index(rows)],
    }
    return _send(pack.features, rows, format, fields)


def _send(
    array: npt.NDArray[Any], rows: Rows, format: Format, fields: dict[str, Any]
) -> StreamingResponse:
    shape = (len(rows), *array.shape[1:])
    headers = {
        "X-Featurepack-Shape": ",".join(map(str, shape)),
        "X-Featurepack-Dtype": array.dtype.str,
    }
    if format == "json":
        described = {"shape": shape, "dtype": array.dtype.name, **fields, "rows": list(rows)}
        pieces = encode.as_json(described)
    else:
        pieces = (encode.npy if format == "npy" else encode.raw)(array, rows)
        if format == "raw":
            headers["Content-Length"] = str(int(np.prod(shape)) * array.dtype.itemsize)
    return StreamingResponse(pieces, media_type=MEDIA_TYPES[format], headers=headers)
