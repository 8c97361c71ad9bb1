"""Selected rows → bytes: small functions, one per format, each an iterator of pieces.

They read the pack's open file piece by piece, in whatever thread asks for the
next piece. Shapes: M selected rows, P rows of a piece.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from cache.pack import Pack
from service.reading import Buffer, OpenFile, Rows, StoredRows, blocks_of, numbers

_ID_PIECE = 4096
"""So many row ids are turned into an array at once."""


@dataclass(frozen=True)
class Slice:
    """Rows of a pack and what is known of each; ``features`` reads their values."""

    pack: Pack
    rows: Rows
    features: StoredRows

    @property
    def label_M(self) -> npt.NDArray[np.int64]:
        found: npt.NDArray[np.int64] = at(self.pack.labels_N, self.rows)
        return found

    @property
    def valid_M(self) -> npt.NDArray[np.bool_]:
        found: npt.NDArray[np.bool_] = at(self.pack.valid_N, self.rows)
        return found

    def row_ids(self, first: int, last: int) -> list[str]:
        """The ids of the selected rows from ``first`` to before ``last``."""
        return [self.pack.row_id_N[row] for row in self.rows[first:last]]


def at(array: npt.NDArray[Any], rows: Rows) -> Any:
    """Rows of an array in memory."""
    if isinstance(rows, range):
        return array[rows.start : rows.stop : rows.step]
    return array[rows]


def in_memory(array: npt.NDArray[Any], _: OpenFile) -> Iterator[Buffer]:
    yield array.data.cast("B")


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Header of a ``.npy`` file, format version 1.0 (NumPy's NEP 1)."""
    header = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def npy(values: Iterator[Buffer], shape: tuple[int, ...], dtype: np.dtype[Any]) -> Iterator[Buffer]:
    yield npy_header(shape, dtype)
    yield from values


# .npz


@dataclass(frozen=True)
class _Member:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def file(self) -> str:
        return f"{self.name}.npy"

    @property
    def bytes(self) -> int:
        count = int(np.prod(self.shape, dtype=np.int64))
        return len(npy_header(self.shape, self.dtype)) + count * self.dtype.itemsize


def _members(chosen: Slice) -> list[_Member]:
    rows, classes = (len(chosen.rows),), chosen.pack.classes
    return [
        _Member("features", chosen.features.shape, chosen.features.dtype),
        _Member("labels", rows, np.dtype("<i8")),
        _Member("row_id", rows, _text(chosen.pack.row_id_N)),
        _Member("valid", rows, np.dtype(bool)),
        _Member("classes", (len(classes),), _text(classes)),
    ]


def _text(words: Sequence[str]) -> np.dtype[Any]:
    return np.dtype(f"<U{max(1, max(map(len, words), default=0))}")


def npz(chosen: Slice, file: OpenFile) -> Iterator[Buffer]:
    """An archive of arrays, stored and not compressed, that ``np.load`` reads without pickle."""
    pieces = _Pieces()
    with zipfile.ZipFile(cast("IO[bytes]", pieces), "w") as archive:
        for member in _members(chosen):
            values = _values(chosen, member, file)
            with archive.open(zipfile.ZipInfo(member.file), "w", force_zip64=True) as entry:
                for piece in npy(values, member.shape, member.dtype):
                    entry.write(piece)
                    yield from pieces.taken()
    yield from pieces.taken()


def _values(chosen: Slice, member: _Member, file: OpenFile) -> Iterator[Buffer]:
    if member.name == "features":
        yield from chosen.features.values(file)
    elif member.name == "labels":
        yield chosen.label_M.astype("<i8").tobytes()
    elif member.name == "row_id":
        for first, last in blocks_of(len(chosen.rows), member.dtype.itemsize):
            yield np.array(chosen.row_ids(first, last), member.dtype).tobytes()
    elif member.name == "valid":
        yield chosen.valid_M.tobytes()
    else:
        yield np.array(chosen.pack.classes, member.dtype).tobytes()


def npz_bytes(chosen: Slice) -> int:
    """The length of :func:`npz`: what the ZIP format adds to each member, and at the end."""
    place = central = 0
    for member in _members(chosen):
        name, large = len(member.file), member.bytes > zipfile.ZIP64_LIMIT
        fields = 2 * large + (place > zipfile.ZIP64_LIMIT)
        central += 46 + name + (4 + 8 * fields if fields else 0)
        place += 30 + name + 20 + member.bytes + 24
    far = place > zipfile.ZIP64_LIMIT or central > zipfile.ZIP64_LIMIT
    return place + central + (76 if far else 0) + 22


class _Pieces:
    """A file that hands on what is written to it, and in which nobody can go back."""

    def __init__(self) -> None:
        self._written: list[Buffer] = []

    def write(self, piece: Any, /) -> int:
        self._written.append(piece)
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> list[Buffer]:
        taken, self._written = self._written, []
        return taken


# JSON


def json_features(chosen: Slice, file: OpenFile) -> Iterator[Buffer]:
    """``shape``, ``dtype``, ``rows``, ``labels`` and ``features`` as nested lists."""
    shown = chosen.features
    head = {"shape": shown.shape, "dtype": shown.dtype.name, "rows": numbers(chosen.rows)}
    yield from _json_object(
        head | {"labels": chosen.label_M}, "features", map(_wide, shown.blocks(file))
    )


def json_labels(pack: Pack, rows: Rows, _: OpenFile) -> Iterator[Buffer]:
    labels_M = at(pack.labels_N, rows)
    head = {
        "shape": labels_M.shape,
        "dtype": "int64",
        "rows": numbers(rows),
        "classes": pack.classes,
    }
    yield from _json_object(head, "labels", [labels_M])


def json_index(pack: Pack, rows: Rows, _: OpenFile) -> Iterator[Buffer]:
    """Classes, splits, and of each row its number, id, label, content hash and validity."""
    head = {"classes": pack.classes, "splits": pack.splits}
    runs = (rows[first : first + _ID_PIECE] for first in range(0, len(rows), _ID_PIECE))
    yield from _json_object(head, "rows", ([_described(pack, int(r)) for r in run] for run in runs))


def _described(pack: Pack, row: int) -> dict[str, Any]:
    return {
        "row": row,
        "row_id": pack.row_id_N[row],
        "label": int(pack.labels_N[row]),
        "row_hash": pack.row_hash_NH[row].tobytes().hex(),
        "valid": bool(pack.valid_N[row]),
    }


def _json_object(head: dict[str, Any], last: str, parts: Any) -> Iterator[Buffer]:
    """An object whose last field is a list that comes in parts."""
    yield _json(head)[:-1] + b"," + _json(last) + b":["
    comma = b""
    for part in parts:
        if len(part):
            yield comma + _json(part)[1:-1]
            comma = b","
    yield b"]}"


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY)


def _plain(value: Any) -> Any:
    """What orjson does not take as it is: arrays that are not contiguous, numbers of NumPy."""
    return value.tolist()


def _wide(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return values.astype(np.float32) if values.dtype.itemsize < 4 else values
