"""Selected rows of a pack → a response: in which format, how long, under which ETag."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from fastapi import Request, Response

from cache.errors import TooLarge
from cache.identity import canonical_json, hash_shard
from cache.pack import Pack
from cache.rows import PackRow
from service import encode
from service.compress import compressed
from service.direct import answer
from service.encode import Slice
from service.negotiation import MEDIA_TYPES, Format, chosen_coding, chosen_format
from service.ranges import is_known
from service.reading import Buffer, OpenFile, Rows, StoredRows
from service.schemas import FormatQuery, LabelsQuery
from service.selection import Selection
from service.sending import PackResponse, Source
from service.state import State, state_of

FEATURE_FORMATS: tuple[Format, ...] = ("raw", "npy", "arrow", "npz", "json")
LABEL_FORMATS: tuple[Format, ...] = ("raw", "npy", "json")
PLAIN: tuple[Format, ...] = ("raw", "npy")
"""Formats whose bytes are those in memory or in the file."""

LABEL = np.dtype("<i8")
MAX_JSON_VALUES = 4_000_000
_ID_BYTES = 200
"""About what a row of the index takes."""


@dataclass(frozen=True)
class _Encoded:
    """An answer's bytes, made from the open file: how many they are, about how many are read."""

    pieces: Callable[[OpenFile], Iterator[Buffer]]
    length: int | None
    weight: int


@dataclass(frozen=True)
class Asked:
    """Who asks for which rows of a pack."""

    kept: State
    request: Request
    selection: Selection

    @classmethod
    def of(cls, request: Request, selection: Selection) -> Asked:
        return cls(state_of(request), request, selection)

    async def features(self, query: FormatQuery) -> Response:
        chosen = self._format(query.format, FEATURE_FORMATS)

        def make(found: _Found) -> Response:
            place = found.pack.places["features"]
            dtype = np.dtype(query.dtype).newbyteorder("<") if query.dtype else place.dtype
            stored = StoredRows(place, found.rows, dtype)
            encoded = _encoded(Slice(found.pack, found.rows, stored), chosen)
            return found.response("features", chosen, encoded, _shape_headers(stored.shape, dtype))

        return await self._answer(make, is_quick=chosen in PLAIN and self.selection.is_quick)

    async def labels(self, query: LabelsQuery) -> Response:
        chosen = self._format(query.format, LABEL_FORMATS)

        def make(found: _Found) -> Response:
            label_M = encode.at(found.pack.labels_N, found.rows).astype(LABEL)
            if chosen == "json":
                pieces = partial(encode.json_labels, found.pack, found.rows)
                encoded = _Encoded(pieces, None, label_M.nbytes)
            else:
                encoded = _plain(chosen, partial(encode.in_memory, label_M), label_M.shape, LABEL)
            headers = _shape_headers(label_M.shape, LABEL)
            return found.response("labels", chosen, encoded, headers)

        return await self._answer(make, is_quick=False)

    async def index(self) -> Response:
        def make(found: _Found) -> Response:
            pieces = partial(encode.json_index, found.pack, found.rows)
            encoded = _Encoded(pieces, None, _ID_BYTES * len(found.rows))
            return found.response("index", "json", encoded, {})

        return await self._answer(make, is_quick=False)

    def _format(self, given: str | None, offered: tuple[Format, ...]) -> Format:
        return chosen_format(given, self.request.headers.get("accept"), offered)

    async def _answer(self, make: Callable[[_Found], Response], *, is_quick: bool) -> Response:
        def found(row: PackRow, pack: Pack) -> Response:
            return make(_Found(self, row, pack, self.selection.rows(pack)))

        return await answer(self.request, found, is_quick=is_quick)


@dataclass(frozen=True)
class _Found:
    """The rows that were asked for."""

    asked: Asked
    row: PackRow
    pack: Pack
    rows: Rows

    def response(
        self, what: str, format: Format, encoded: _Encoded, headers: dict[str, str]
    ) -> Response:
        request, kept = self.asked.request, self.asked.kept
        coding = chosen_coding(",".join(request.headers.getlist("accept-encoding")))
        headers = headers | {"Vary": "Accept, Accept-Encoding"}
        if request.method != "POST":
            headers["ETag"] = self._etag(what, format, headers, coding)
            if is_known(",".join(request.headers.getlist("if-none-match")), headers["ETag"]):
                return Response(status_code=304, headers=headers)
        pieces, length = encoded.pieces, encoded.length
        if coding:
            headers["Content-Encoding"] = coding
            pieces, length = lambda file: compressed(encoded.pieces(file), coding), None
        source = Source(
            kept.store,
            self.row.pack_id,
            self.pack,
            pieces,
            length,
            encoded.weight,
            is_quick=format in PLAIN and not coding,
        )
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
    return _plain(format, features.values, features.shape, features.dtype)


def _plain(
    format: Format,
    values: Callable[[OpenFile], Iterator[Buffer]],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> _Encoded:
    """The values alone, or behind a ``.npy`` header."""
    size = math.prod(shape) * dtype.itemsize
    if format == "raw":
        return _Encoded(values, size, size)
    header = encode.npy_header(shape, dtype)
    return _Encoded(lambda file: encode.npy(values(file), shape, dtype), len(header) + size, size)


def _shape_headers(shape: tuple[int, ...], dtype: np.dtype[Any]) -> dict[str, str]:
    return {
        "X-Featurepack-Shape": ",".join(map(str, shape)),
        "X-Featurepack-Dtype": dtype.str,
    }
