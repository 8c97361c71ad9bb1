"""A head's NumPy archive as safetensors, piece by piece.

The format is 8 bytes (the header's length, little-endian), the header as JSON (each tensor's dtype,
shape and place; ``__metadata__`` maps text to text), and the values one after the other:
https://huggingface.co/docs/safetensors. What is text in the archive becomes metadata, as tensors
have no text. Nothing is read that is not sent, as a head by nearest neighbours is as large as the
rows that it remembers.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from cache.errors import CorruptData

PIECE_BYTES = 2 << 20

_DTYPES: Final = {"<f4": "F32", "<i8": "I64"}


@dataclass(frozen=True)
class _Member:
    """An array of the archive, by its header."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool

    @property
    def bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def safetensors(path: Path, about: Mapping[str, str]) -> tuple[int, Iterator[bytes]]:
    """How many bytes there are, and the bytes; ``about`` goes to the metadata.

    Raises:
        FileNotFoundError: no such file.
        CorruptData: it is no head's archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [_member(archive, name) for name in archive.namelist()]
            metadata = dict(about)
            for member in members:
                if member.dtype.kind == "U":
                    metadata[member.name] = _text(archive, member)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptData(
            f"{path.name} is not a readable head: {error}",
            value=path.name,
            remedy="train the head again",
        ) from error
    # The larger items first, so that all are aligned.
    tensors = sorted(
        (member for member in members if member.dtype.kind != "U"),
        key=lambda member: (-member.dtype.itemsize, member.name),
    )
    header = _header(tensors, metadata)
    return len(header) + sum(each.bytes for each in tensors), _pieces(path, header, tensors)


def _header(tensors: list[_Member], metadata: dict[str, str]) -> bytes:
    described: dict[str, Any] = {"__metadata__": metadata}
    place = 0
    for each in tensors:
        described[each.name] = {
            "dtype": _DTYPES[each.dtype.str],
            "shape": each.shape,
            "data_offsets": [place, place + each.bytes],
        }
        place += each.bytes
    text = json.dumps(described, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _pieces(path: Path, header: bytes, tensors: list[_Member]) -> Iterator[bytes]:
    yield header
    with zipfile.ZipFile(path) as archive:
        for each in tensors:
            with archive.open(f"{each.name}.npy") as file:
                if each.fortran:  # columns first: to be turned as a whole
                    yield np.lib.format.read_array(file).tobytes()
                    continue
                _read_header(file)
                while piece := file.read(PIECE_BYTES):
                    yield piece


def _member(archive: zipfile.ZipFile, name: str) -> _Member:
    with archive.open(name) as file:
        shape, fortran, dtype = _read_header(file)
    if dtype.kind != "U" and dtype.str not in _DTYPES:
        raise ValueError(f"{name} is {dtype}")
    return _Member(name.removesuffix(".npy"), shape, dtype, fortran)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array is not in version 1.0 of NumPy's format")
    return np.lib.format.read_array_header_1_0(file)


def _text(archive: zipfile.ZipFile, member: _Member) -> str:
    """A text as it is, several as a JSON list."""
    with archive.open(f"{member.name}.npy") as file:
        found = np.lib.format.read_array(file, allow_pickle=False).tolist()
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)
