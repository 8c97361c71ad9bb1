"""``/v1/packs/{id}/file|layout``: the HDF5 file itself, and where its arrays lie in it."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from cache.errors import OutOfRange
from cache.identity import SHARD_HASH_ALGORITHM
from cache.pack import Pack
from cache.places import Place
from cache.rows import PackRow
from service import problems
from service.caller import Asking
from service.direct import DirectRoute, answer
from service.parameters import documented
from service.ranges import is_known, range_holds, wanted_span
from service.reading import span
from service.sending import PackResponse, Source
from service.state import Kept, State, state_of

router = APIRouter(prefix="/v1/packs/{pack_id}", tags=["packs"])
direct = APIRouter(route_class=DirectRoute)

MEDIA_TYPE = "application/x-hdf5"

_FILE: dict[int | str, dict[str, Any]] = {
    200: {"description": "the whole file", "content": {MEDIA_TYPE: {}}},
    206: {"description": "the bytes that Range asks for", "content": {MEDIA_TYPE: {}}},
    304: {"description": "If-None-Match names this file's ETag"},
    416: problems.PROBLEM | {"description": "the file has none of the bytes that Range asks for"},
}


class ArrayAnswer(BaseModel):
    """An array in C order that begins ``offset`` bytes after the start of the file."""

    dtype: str
    shape: list[int]
    offset: int

    @classmethod
    def of(cls, place: Place) -> ArrayAnswer:
        return cls(dtype=place.dtype.str, shape=list(place.shape), offset=place.offset)


class LayoutAnswer(BaseModel):
    """Where the arrays lie in the file, for readers without HDF5.

    ``shard_hash`` holds the ``hash`` of each run of ``shard_rows`` rows of ``features``.
    """

    object: Literal["layout"] = "layout"
    pack_id: str
    etag: str
    bytes: int
    shard_rows: int
    hash: str
    arrays: dict[str, ArrayAnswer]


@router.get("/layout")
def get_layout(pack_id: str, kept: Kept, caller: Asking) -> LayoutAnswer:
    """Where each array begins in the file that ``/file`` serves, its dtype and its shape."""
    row, pack = kept.shelf.take(pack_id, caller.sight)
    return LayoutAnswer(
        pack_id=pack_id,
        etag=row.etag,
        bytes=row.bytes,
        shard_rows=pack.shard_rows,
        hash=SHARD_HASH_ALGORITHM,
        arrays={name: ArrayAnswer.of(place) for name, place in pack.places.items()},
    )


@direct.head("/file", include_in_schema=False)
@direct.get("/file", response_class=Response, responses=_FILE, openapi_extra=documented())
async def get_file(request: Request) -> Response:
    """The HDF5 file. ``Range`` (one range), ``If-Range`` and ``If-None-Match`` work."""
    return await answer(request, partial(_file, request, state_of(request)), is_quick=True)


def _file(request: Request, kept: State, row: PackRow, pack: Pack) -> Response:
    etag, asked = f'"{row.etag}"', request.headers
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if is_known(",".join(asked.getlist("if-none-match")), etag):
        return Response(status_code=304, headers=headers)
    wanted = None
    if request.method == "GET" and range_holds(asked.get("if-range"), etag):
        try:
            wanted = wanted_span(", ".join(asked.getlist("range")), row.bytes)
        except OutOfRange as error:
            refused = problems.problem(error, request)
            refused.headers["Content-Range"] = f"bytes */{row.bytes}"
            return refused
    start, stop = wanted or (0, row.bytes)
    headers["Content-Disposition"] = _disposition(row)
    if wanted:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{row.bytes}"
    pieces = partial(span, start=start, stop=stop)
    return PackResponse(
        Source(kept.store, row.pack_id, pack, pieces, stop - start, stop - start, is_quick=True),
        kept.transfers,
        media_type=MEDIA_TYPE,
        headers=headers,
        status_code=206 if wanted else 200,
    )


def _disposition(row: PackRow) -> str:
    """A name to save under; one with other letters than ASCII's goes by RFC 8187."""
    name = f"{row.network}_{row.dataset}_{row.pack_id}.h5"
    if name.isascii():
        return f'attachment; filename="{name}"'
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


router.include_router(direct)
