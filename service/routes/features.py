"""``/v1/packs/{id}/features|labels|index|rows``: slices of a pack."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from service.direct import DirectRoute
from service.negotiation import MEDIA_TYPES, Format
from service.parameters import documented, query_of
from service.problems import validated
from service.schemas import FeaturesQuery, FormatQuery, LabelsQuery, RowsQuery, RowsRequest
from service.slices import FEATURE_FORMATS, LABEL_FORMATS, Asked

router = APIRouter(prefix="/v1/packs/{pack_id}", tags=["features"], route_class=DirectRoute)

_JSON_EXAMPLE = {
    "shape": [2, 3],
    "dtype": "float32",
    "rows": [0, 1],
    "labels": [7, 2],
    "features": [[0.0, 1.5, 0.25], [0.5, 0.0, 2.0]],
}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "If-None-Match names the ETag of this slice"},
}


def _content(formats: tuple[Format, ...], **examples: Any) -> dict[int | str, dict[str, Any]]:
    content = {MEDIA_TYPES[name]: examples.get(name, {}) for name in formats}
    description = "the rows; X-Featurepack-Shape and -Dtype tell the layout of raw bytes"
    return {200: {"description": description, "content": content}}


_FEATURES = _content(FEATURE_FORMATS, json={"example": _JSON_EXAMPLE})


@router.head("/features", include_in_schema=False)
@router.get(
    "/features",
    response_class=Response,
    responses=_FEATURES | _UNCHANGED,
    openapi_extra=documented(FeaturesQuery),
)
async def get_features(request: Request) -> Response:
    """Feature rows of a split, a range, classes, a sample, or any of these together."""
    asked = query_of(request, FeaturesQuery)
    return await Asked.of(request, asked.selection()).features(asked)


@router.post(
    "/rows",
    response_class=Response,
    responses=_FEATURES,
    openapi_extra=documented(FormatQuery, RowsRequest),
)
async def post_rows(request: Request) -> Response:
    """Feature rows by number or id, in the order given; at most 100,000."""
    asked, body = query_of(request, FormatQuery), await validated(request, RowsRequest)
    return await Asked.of(request, body.selection()).features(asked)


@router.head("/labels", include_in_schema=False)
@router.get(
    "/labels",
    response_class=Response,
    responses=_content(LABEL_FORMATS) | _UNCHANGED,
    openapi_extra=documented(LabelsQuery),
)
async def get_labels(request: Request) -> Response:
    """The labels (int64, -1 is unlabelled) of the same rows."""
    asked = query_of(request, LabelsQuery)
    return await Asked.of(request, asked.selection()).labels(asked)


@router.head("/index", include_in_schema=False)
@router.get(
    "/index",
    response_class=Response,
    responses=_content(("json",)) | _UNCHANGED,
    openapi_extra=documented(RowsQuery),
)
async def get_index(request: Request) -> Response:
    """What each row is, as JSON: its number, id, label, content hash and whether it is valid."""
    asked = query_of(request, RowsQuery)
    return await Asked.of(request, asked.selection()).index()
