"""A pack → a file: HDF5 as the service keeps it, or NumPy's ``.npz``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from featurepack.answers import Index, Pack
from featurepack.errors import CorruptData
from featurepack.files import put_in_place, written_beside
from featurepack.transport import BROKEN, Transport, segment

OnBytes = Callable[[int, int], None]
"""Told how many bytes are there, and how many there will be."""


def part_of(path: Path, etag: str) -> Path:
    """Where a download waits to be complete; the name tells which content it is a part of."""
    return path.with_name(f"{path.name}.{re.sub(r'[^0-9A-Za-z]', '', etag)[:16]}.part")


def download_hdf5(
    transport: Transport, pack: Pack, path: Path, on_bytes: OnBytes | None = None
) -> None:
    """Bring a pack's file to ``path``; goes on where an earlier, broken download ended.

    Raises:
        NotFound: the pack was deleted.
        ConnectionFailed: connections broke too often; what is there stays in ``*.part``.
        CorruptData: the service sends something else than the catalogue says.
        OSError: the disk.
    """
    part = part_of(path, pack.etag)
    part.touch()
    failures = 0
    while (have := part.stat().st_size) < pack.bytes:
        error: Exception = httpx.ReadError("the answer ended early")
        try:
            _append(transport, pack, part, on_bytes)
        except BROKEN as broken:
            error = broken
        failures = 0 if part.stat().st_size > have else failures + 1
        if failures > transport.retry.times:
            raise transport.broken(error)
        if part.stat().st_size < pack.bytes:
            transport.retry.pause(failures)
    if have > pack.bytes:
        part.unlink()
        raise _changed(pack, have)
    put_in_place(part, path)


def _append(transport: Transport, pack: Pack, part: Path, on_bytes: OnBytes | None) -> None:
    """One request for what is missing; bytes that came are kept, whatever happens."""
    start = part.stat().st_size
    headers = {"Range": f"bytes={start}-", "If-Range": f'"{pack.etag}"'} if start else {}
    with (
        transport.stream(
            "GET", f"/v1/packs/{segment(pack.pack_id)}/file", headers=headers
        ) as response,
        part.open("r+b") as file,
    ):
        if response.headers.get("ETag", f'"{pack.etag}"') != f'"{pack.etag}"':
            raise _changed(pack, response.headers["ETag"])
        if response.status_code != 206:  # the whole file, from its first byte
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise _changed(pack, response.headers.get("Content-Range"))
        file.truncate(start)
        file.seek(start)
        for piece in response.iter_raw():
            file.write(piece)
            if on_bytes is not None:
                on_bytes(file.tell(), pack.bytes)


def _changed(pack: Pack, value: object) -> CorruptData:
    return CorruptData(
        f"the file of pack {pack.pack_id} is not the one in the catalogue",
        value=value,
        remedy="ask for the pack again; it was replaced, or verify it",
    )


def save_npz(path: Path, pack: Pack, features: npt.NDArray[Any], index: Index) -> None:
    """Write ``features`` [N, ...], ``labels`` [N] int64 (-1 is unlabelled), ``row_id`` [N] text,
    ``valid`` [N] bool, ``classes`` [K] text and ``splits``, records of name, start and stop.

    ``np.load`` reads all of it without ``allow_pickle``.
    """
    arrays: dict[str, Any] = {
        "features": features,
        "labels": index.label_N,
        "row_id": np.array(index.row_id_N, dtype=np.str_),
        "valid": index.valid_N,
        "classes": np.array(pack.classes, dtype=np.str_),
        "splits": _records(pack.splits),
    }
    with written_beside(path) as beside, beside.open("wb") as file:
        np.savez(file, **arrays)


def _records(splits: Mapping[str, list[int]]) -> npt.NDArray[Any]:
    width = max((len(name) for name in splits), default=1)
    kind = [("name", f"U{width}"), ("start", "i8"), ("stop", "i8")]
    return np.array([(name, *span) for name, span in splits.items()], dtype=kind)
