"""A pack → a file: HDF5 as the service keeps it, or NumPy's ``.npz``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.answers import Index, Pack
from featurepack.files import put_in_place, written_beside
from featurepack.local.fetch import OnBytes, Remote
from featurepack.local.journal import Journal
from featurepack.local.layout import Layout
from featurepack.local.sound import fetch_sound
from featurepack.transport import Transport, segment


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
        DiskFull, OSError: the disk.
    """
    part = part_of(path, pack.etag)
    journal = Journal(part.with_suffix(".journal"), part, pack.bytes)
    where = f"/v1/packs/{segment(pack.pack_id)}"
    remote = Remote(f"{where}/file", pack.etag, pack.bytes)

    def layout() -> Layout:
        return Layout.of(transport.json("GET", f"{where}/layout", again=True))

    fetch_sound(transport, remote, layout, part, journal, on_bytes)
    put_in_place(part, path)
    journal.remove()


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
