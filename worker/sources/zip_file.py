"""Opening and reading zip files that nobody vouches for.

zipfile reads the whole directory of members at once, so the number of members is checked in the
very bytes that it is about to parse, before it makes an object of each.
"""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from cache.errors import CorruptData, InvalidRequest, TooLarge
from worker.sources.source import Budget, IngestLimits

PIECE_BYTES = 1 << 20
_ENTRY_SIGNATURE = b"PK\1\2"
_ENTRY_BYTES = 512
"""Of the directory, per member: its 46 fixed bytes and far more than usual for name and extras."""
_ENCRYPTED = 0x1 | 0x40
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN = (
    zipfile.BadZipFile, zlib.error, EOFError, struct.error, NotImplementedError, RuntimeError,
    ValueError, OSError,
)  # fmt: skip


class _CheckedFile:
    """A file that counts directory entries in what is read while the zip is being opened."""

    def __init__(self, file: IO[bytes], max_members: int) -> None:
        self._file = file
        self._max_members = max_members
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable
        self.opening = True

    def read(self, count: int = -1) -> bytes:
        if self.opening:
            self._count_entries(count)
        return self._file.read(count)

    def _count_entries(self, count: int) -> None:
        """Look at the next ``count`` bytes (all where it is negative) and come back."""
        start, seen, end = self._file.tell(), 0, b""
        left = count if count >= 0 else 1 << 62
        while piece := self._file.read(min(left, PIECE_BYTES)):
            seen += (end + piece).count(_ENTRY_SIGNATURE)
            if seen > self._max_members:
                raise too_many_members(self._max_members)
            left -= len(piece)
            end = piece[1 - len(_ENTRY_SIGNATURE) :]
        if self._file.tell() - start > PIECE_BYTES + _ENTRY_BYTES * self._max_members:
            raise too_many_members(self._max_members)
        self._file.seek(start)


def too_many_members(limit: int) -> TooLarge:
    return TooLarge(
        f"the archive has more than {limit} members",
        value=limit,
        remedy="split the dataset, or pack it as arrays (npz or HDF5)",
    )


@contextmanager
def open_zip(path: Path, limits: IngestLimits) -> Iterator[zipfile.ZipFile]:
    """The zip at ``path`` with its members checked: none encrypted, special or oddly packed.

    Raises:
        CorruptData: no zip, or one that is cut off.
        TooLarge: more than ``max_members``.
        InvalidRequest: a member that is refused, by name.
    """
    with path.open("rb") as file:
        checked = _CheckedFile(file, limits.max_members)
        with reading("its directory"):
            archive = zipfile.ZipFile(cast("IO[bytes]", checked))
        checked.opening = False
        with archive:
            if len(archive.infolist()) > limits.max_members:
                raise too_many_members(limits.max_members)
            for member in archive.infolist():
                _check(member)
            yield archive


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Whatever zipfile raises about ``name`` becomes CorruptData."""
    try:
        yield
    except (InvalidRequest, TooLarge, CorruptData):
        raise
    except _BROKEN as error:
        raise CorruptData(
            f"the zip file is broken or cut off at {name!r}: {error}",
            value=name,
            remedy="make the archive again and upload it again",
        ) from error


def read_pieces(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, budget: Budget
) -> Iterator[bytes]:
    """The data of a member in pieces; each is counted before it is given.

    Raises:
        CorruptData: the data is broken, cut off or does not match its checksum.
        TooLarge: it is beyond the budget.
    """
    name = member.filename
    with reading(name):
        stream = archive.open(member)
    with stream:
        while True:
            with reading(name):
                piece = stream.read(PIECE_BYTES)
            if not piece:
                return
            budget.spend(len(piece), name)
            yield piece


def _check(member: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(member.external_attr >> 16)
    if member.flag_bits & _ENCRYPTED:
        problem, remedy = "is encrypted", "pack it without a password"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        problem, remedy = "is a link or a special file", "pack the files themselves"
    elif member.compress_type not in _METHODS:
        problem, remedy = "is packed by an unusual method", "pack it with deflate, as zip does"
    elif "\0" in member.orig_filename:
        problem, remedy = "has a NUL in its name", "rename it"
    else:
        return
    name = member.orig_filename
    raise InvalidRequest(f"the member {name!r} {problem}", value=name, remedy=remedy)
