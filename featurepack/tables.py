"""Rows as tables of Arrow's and of pandas', for those who have these libraries."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import httpx

from featurepack.answers import Pack
from featurepack.errors import CorruptData, InvalidRequest
from featurepack.selection import Selection
from featurepack.transport import Transport, segment
from featurepack.wire import body

if TYPE_CHECKING:
    import pandas
    import pyarrow

ARROW = {"Accept": "application/vnd.apache.arrow.stream"}


def table_from(transport: Transport, pack: Pack, selection: Selection) -> pyarrow.Table:
    """Rows of a pack as a table; a transfer that breaks begins anew. Raises as ``arrow``."""
    library = _needed("pyarrow", "arrow")
    path, params = f"/v1/packs/{segment(pack.pack_id)}", selection.parameters()
    call: dict[str, Any] = {"method": "GET", "path": f"{path}/features", "params": params}
    if selection.listed is not None:
        name = "rows" if selection.rows is not None else "row_id"
        call = {"method": "POST", "path": f"{path}/rows", "json": params | {name: selection.listed}}
    found: list[Any] = []

    def read() -> None:
        with transport.stream(headers=ARROW, **call) as response:
            found.append(_read(library, response))

    transport.persist(read, done=lambda: 0, complete=lambda: bool(found))
    return found[0]


def _read(library: Any, response: httpx.Response) -> Any:
    """The table, which takes the place of what has come piece by piece."""
    sink = library.BufferOutputStream()
    for piece in body(response):
        sink.write(piece)
    try:
        return library.ipc.open_stream(sink.getvalue()).read_all()
    except library.ArrowInvalid as error:
        raise CorruptData(
            f"{response.url.path} answered no Arrow stream: {error}",
            value=response.headers.get("content-type"),
            remedy="ask again; check that the address is a Featurepack service's",
        ) from error


def frame_of(table: pyarrow.Table) -> pandas.DataFrame:
    """A table's rows as a data frame; features take the row's shape, and are not copied."""
    _needed("pandas", "pandas")
    numpy = importlib.import_module("numpy")
    column = table.column("features").combine_chunks()
    shape = _shape(table)
    rows_N = column.flatten().to_numpy(zero_copy_only=False).reshape(table.num_rows, *shape)
    frame = table.drop_columns(["features"]).to_pandas()
    features = numpy.empty(len(rows_N), object)
    features[:] = list(rows_N)
    frame.insert(0, "features", features)
    return frame


def _shape(table: Any) -> tuple[int, ...]:
    return tuple(json.loads(table.schema.field("features").metadata[b"shape"]))


def _needed(library: str, extra: str) -> Any:
    try:
        module = importlib.import_module(library)
        if library == "pyarrow":
            importlib.import_module("pyarrow.ipc")
    except ImportError as error:
        raise InvalidRequest(
            f"{library} is not installed here",
            value=library,
            remedy=f"pip install 'featurepack[{extra}]'",
        ) from error
    return module
