"""``/h5/{id}/attr|data|meta|paths|stats``: h5grove's endpoints, with which HDF5 viewers open packs.

A viewer is given ``/h5/{id}`` as the address of its h5grove server; which file is meant follows
from that alone. Everything is read, never written, in a thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Annotated, Any, Literal

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response
from h5grove.content import (
    DatasetContent,
    ResolvedEntityContent,
    get_content_from_file,
    get_list_of_paths,
)
from h5grove.encoders import encode
from h5grove.utils import parse_slice

from cache.errors import FeaturepackError, InvalidRequest, NotFound, TooLarge, Unavailable
from service.caller import Asking, Caller
from service.state import Kept, State

router = APIRouter(prefix="/h5/{pack_id}", tags=["hdf5"])

MAX_BYTES = 64 << 20
"""Of values in one answer: they are in memory while they are encoded and sent."""

Path = Annotated[str, Query(description="of a group or an array within the file")]
Selected = Annotated[str | None, Query(description="as NumPy writes it, such as 0:10,3")]

_OPEN = {"locking": False}
_LINKS = "none"  # a pack has none; should one ever have, it leads nowhere


@router.get("/attr/")
async def get_attr(
    pack_id: str,
    kept: Kept,
    caller: Asking,
    path: Path = "/",
    attr_keys: Annotated[list[str] | None, Query()] = None,
) -> Response:
    """The attributes of a group or an array."""

    def attributes(content: Any) -> Any:
        return encode(_of_kind(content, ResolvedEntityContent).attributes(attr_keys), "json")

    return await _answer(kept, caller, pack_id, path, attributes)


@router.get("/data/")
async def get_data(
    pack_id: str,
    kept: Kept,
    caller: Asking,
    path: Path = "/",
    dtype: Literal["origin", "safe"] = "origin",
    format: Literal["json", "bin", "npy", "csv", "tiff"] = "json",
    flatten: bool = False,
    selection: Selected = None,
) -> Response:
    """Values of an array, at most 64 MiB at once."""

    def data(content: Any) -> Any:
        array = _affordable(content, selection)
        if format != "json" and array.metadata()["type"]["dtype"] == "|O":
            # h5grove would send the addresses at which the texts lie in memory.
            raise InvalidRequest(f"{path!r} holds texts", value=format, remedy="use format=json")
        return encode(array.data(selection, flatten, dtype), format)

    return await _answer(kept, caller, pack_id, path, data)


@router.get("/meta/")
async def get_meta(pack_id: str, kept: Kept, caller: Asking, path: Path = "/") -> Response:
    """What a group or an array is, and what a group holds."""
    return await _answer(
        kept, caller, pack_id, path, lambda content: encode(content.metadata(), "json")
    )


@router.get("/stats/")
async def get_stats(
    pack_id: str, kept: Kept, caller: Asking, path: Path = "/", selection: Selected = None
) -> Response:
    """Smallest and largest value, mean and deviation of an array, of at most 64 MiB."""

    def stats(content: Any) -> Any:
        return encode(_affordable(content, selection).data_stats(selection), "json")

    return await _answer(kept, caller, pack_id, path, stats)


@router.get("/paths/")
async def get_paths(pack_id: str, kept: Kept, caller: Asking, path: Path = "/") -> Response:
    """The paths of everything in a group."""
    return await _answer(
        kept, caller, pack_id, path, lambda paths: encode(paths, "json"), get_list_of_paths
    )


async def _answer(
    kept: State,
    caller: Caller,
    pack_id: str,
    path: str,
    made: Callable[[Any], Any],
    opened: Callable[..., Any] = get_content_from_file,
) -> Response:
    with kept.transfers.place(True, caller.team) as limiter:
        work = partial(_read, kept, caller, pack_id, path, made, opened)
        answer = await run_sync(work, limiter=limiter)
    return Response(answer.content, headers=answer.headers)


def _read(
    kept: State,
    caller: Caller,
    pack_id: str,
    path: str,
    made: Callable[[Any], Any],
    opened: Callable[..., Any],
) -> Any:
    kept.shelf.take(
        pack_id, caller.sight
    )  # NotFound where nobody knows it, whatever the id looks like
    file = str(kept.store.pack(pack_id))
    with (
        _as_ours(path),
        kept.store.reading(pack_id),
        opened(file, path, _error, _LINKS, _OPEN) as content,
    ):
        return made(content)


def _error(status: int, message: str) -> FeaturepackError:
    """What h5grove would answer with this status."""
    if status == 404:
        return NotFound(message, remedy="GET /h5/{pack_id}/paths/ lists what there is")
    if status == 422:
        return InvalidRequest(message, remedy="see /docs")
    return Unavailable(message, remedy="check the store's disk, then try again")


@contextmanager
def _as_ours(path: str) -> Iterator[None]:
    """Whatever h5grove, h5py and NumPy make of odd paths and selections becomes a problem."""
    try:
        yield
    except FeaturepackError:
        raise
    except FileNotFoundError as error:
        raise NotFound("the pack was deleted just now", remedy="submit the pair again") from error
    except KeyError as error:
        raise NotFound(f"{path!r} has no {error}", value=path, remedy="see …/meta/") from error
    except (ValueError, TypeError, IndexError, AssertionError, RuntimeError) as error:
        raise InvalidRequest(
            f"{path!r} cannot be sent like this: {error}",
            value=path,
            remedy="look at its shape with …/meta/, and choose a selection and a format that fit",
        ) from error


def _of_kind(content: Any, kind: Any) -> Any:
    if not isinstance(content, kind):
        raise InvalidRequest(
            f"{content.path!r} is a {content.kind}", value=content.path, remedy="see …/meta/"
        )
    return content


def _affordable(content: Any, selection: str | None) -> Any:
    """The array, if what is selected of it is not too much. Raises TooLarge."""
    about = _of_kind(content, DatasetContent).metadata()
    size = about["type"]["size"] * _values(about["shape"], selection)
    if size > MAX_BYTES:
        raise TooLarge(
            f"{size} bytes are selected of {content.path!r}",
            value=size,
            remedy=f"select at most {MAX_BYTES} bytes, such as selection=0:100, or use "
            "/v1/packs/{pack_id}/features",
        )
    return content


def _values(shape: tuple[int, ...], selection: str | None) -> int:
    """How many values a selection has."""
    chosen = parse_slice(selection) if selection else ()
    sides = [
        len(range(*part.indices(side))) if isinstance(part, slice) else 1
        for side, part in zip(shape, chosen, strict=False)
    ]
    return math.prod(sides) * math.prod(shape[len(sides) :])
