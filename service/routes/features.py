"""``/v1/packs/{id}/features|labels|index|rows``: slices of a pack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from cache.errors import TooLarge
from cache.identity import canonical_json, hash_shard
from cache.pack import Pack
from cache.rows import PackRow
from service import encode
from service.compress import compressed
from service.encode import Slice
from service.negotiation import MEDIA_TYPES, Format, chosen_coding, chosen_format
from service.parameters import documented, query_of
from service.problems import validated
from service.ranges import is_known
from service.reading import Buffer, Rows, StoredRows
from service.schemas import FeaturesQuery, FormatQuery, LabelsQuery, RowsQuery, RowsRequest
from service.selection import Selection
from service.sending import PackResponse, Source, ready
from service.state import State, state_of

router = APIRouter(prefix="/v1/packs/{pack_id}", tags=["features"])

FEATURE_FORMATS: tuple[Format, ...] = ("raw", "npy", "arrow", "npz", "json")
LABEL_FORMATS: tuple[Format, ...] = ("raw", "npy", "json")
MAX_JSON_VALUES = 4_000_000
_ID_BYTES = 200
"""About what a row of the index takes."""

_JSON_EXAMPLE = {
    "shape": [2, 3],
    "dtype": "float32",
    "rows": [0, 1],
    "labels": [7, 2],
    "features": [[0.0, 1.5, 0.25], [0.5, 0.0, 2.0]],
}
_UNCHANGED: dict[int | str, dict[str, Any]] = {
    304: {"description": "If-None-Match names the ETag of this slice"},
    429: {"description": "as many answers are being sent as may be; try again after Retry-After"},
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
    this = _Asked.of(request, asked.selection())
    return await ready(this.kept.transfers, partial(_features, this, asked), request.method)


@router.post(
    "/rows",
    response_class=Response,
    responses=_FEATURES | {429: _UNCHANGED[429]},
    openapi_extra=documented(FormatQuery, RowsRequest),
)
async def post_rows(request: Request) -> Response:
    """Feature rows by number or id, in the order given; at most 100,000."""
    asked, body = query_of(request, FormatQuery), await validated(request, RowsRequest)
    this = _Asked.of(request, body.selection())
    return await ready(this.kept.transfers, partial(_features, this, asked), request.method)


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
    this = _Asked.of(request, asked.selection())
    return await ready(this.kept.transfers, partial(_labels, this, asked), request.method)


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
    this = _Asked.of(request, asked.selection())
    return await ready(this.kept.transfers, partial(_index, this), request.method)


@dataclass(frozen=True)
class _Encoded:
    """An answer's bytes, made from an open handle: how many they are, about how many are read."""

    pieces: Callable[[int], Iterator[Buffer]]
    length: int | None
    weight: int


@dataclass(frozen=True)
class _Asked:
    """Who asks for which rows of a pack."""

    kept: State
    request: Request
    pack_id: str
    selection: Selection

    @classmethod
    def of(cls, request: Request, selection: Selection) -> _Asked:
        return cls(state_of(request), request, request.path_params["pack_id"], selection)

    @property
    def accept(self) -> str | None:
        return self.request.headers.get("accept")

    def rows(self) -> _Found:
        row, pack = self.kept.shelf.take(self.pack_id)
        return _Found(self, row, pack, self.selection.rows(pack))


@dataclass(frozen=True)
class _Found:
    """The rows that were asked for."""

    asked: _Asked
    row: PackRow
    pack: Pack
    rows: Rows

    def answer(
        self, what: str, format: Format, encoded: _Encoded, headers: dict[str, str]
    ) -> Response:
        request, kept = self.asked.request, self.asked.kept
        coding = chosen_coding(",".join(request.headers.getlist("accept-encoding")))
        etag = self._etag(what, format, headers, coding)
        headers = headers | {"ETag": etag, "Vary": "Accept, Accept-Encoding"}
        known = ",".join(request.headers.getlist("if-none-match"))
        if request.method != "POST" and is_known(known, etag):
            return Response(status_code=304, headers=headers)
        pieces, length = encoded.pieces, encoded.length
        if coding:
            headers["Content-Encoding"] = coding
            pieces, length = lambda handle: compressed(encoded.pieces(handle), coding), None
        source = Source(kept.store, self.row.pack_id, self.pack, pieces, length, encoded.weight)
        media_type = MEDIA_TYPES[format]
        return PackResponse(source, kept.transfers, media_type=media_type, headers=headers)

    def _etag(self, *parts: object) -> str:
        """It follows from the rows themselves, so equal slices have one however they are asked."""
        rows = self.rows
        if isinstance(rows, range):
            which: object = [rows.start, rows.stop, rows.step]
        else:
            which = hash_shard(rows.tobytes()).hex()
        return f'"{hash_shard(canonical_json([self.row.etag, which, *parts])).hex()}"'


def _labels(this: _Asked, asked: LabelsQuery) -> Response:
    chosen = chosen_format(asked.format, this.accept, LABEL_FORMATS)
    found = this.rows()
    shape, dtype = (len(found.rows),), np.dtype("<i8")
    size = shape[0] * dtype.itemsize

    def values(_: int) -> Iterator[Buffer]:
        yield encode.at(found.pack.labels_N, found.rows).astype(dtype).tobytes()

    if chosen == "json":
        encoded = _Encoded(lambda _: encode.json_labels(found.pack, found.rows), None, size)
    else:
        encoded = _plain(chosen, values, shape, dtype, size)
    return found.answer("labels", chosen, encoded, _shape_headers(shape, dtype))


def _index(this: _Asked) -> Response:
    found = this.rows()
    size = _ID_BYTES * len(found.rows)
    encoded = _Encoded(lambda _: encode.json_index(found.pack, found.rows), None, size)
    return found.answer("index", "json", encoded, {})


def _features(this: _Asked, asked: FormatQuery) -> Response:
    chosen = chosen_format(asked.format, this.accept, FEATURE_FORMATS)
    found = this.rows()
    place = found.pack.places["features"]
    dtype = np.dtype(asked.dtype).newbyteorder("<") if asked.dtype else place.dtype
    stored = StoredRows(place, found.rows, dtype)
    encoded = _encoded(Slice(found.pack, found.rows, stored), chosen)
    return found.answer("features", chosen, encoded, _shape_headers(stored.shape, dtype))


def _encoded(chosen: Slice, format: Format) -> _Encoded:
    features = chosen.features
    if format == "json":
        values = features.bytes // features.dtype.itemsize
        if values > MAX_JSON_VALUES:
            raise TooLarge(
                f"{values} values are too many for JSON",
                value=values,
                remedy=f"ask for at most {MAX_JSON_VALUES} values, or use another format",
            )
        return _Encoded(partial(encode.json_features, chosen), None, 8 * values)
    if format == "npz":
        return _Encoded(partial(encode.npz, chosen), encode.npz_bytes(chosen), features.bytes)
    if format == "arrow":
        from service import arrow  # takes a third of a second, and most never ask for it

        return _Encoded(partial(arrow.arrow, chosen), arrow.arrow_bytes(chosen), features.bytes)
    return _plain(format, features.values, features.shape, features.dtype, features.bytes)


def _plain(
    format: Format,
    values: Callable[[int], Iterator[Buffer]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    size: int,
) -> _Encoded:
    """The values alone, or behind a ``.npy`` header."""
    if format == "raw":
        return _Encoded(values, size, size)
    header = encode.npy_header(shape, dtype)
    return _Encoded(
        lambda handle: encode.npy(values(handle), shape, dtype), len(header) + size, size
    )


def _shape_headers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, str]:
    return {
        "X-Featurepack-Shape": ",".join(map(str, shape)),
        "X-Featurepack-Dtype": dtype.str,
    }
