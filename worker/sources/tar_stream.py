"""A tar file read front to back in constant memory, with only what images need.

Formats: v7, ustar, GNU (long names) and pax (``path`` and ``size`` records). Python's tarfile is
not used: it keeps every member, takes headers of any size into memory, and on versions that are
still in use loops or slows down on crafted headers. It also takes a damaged header for the end.

https://www.gnu.org/software/tar/manual/html_node/Standard.html and POSIX.1-2017, "pax".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from cache.errors import CorruptData, InvalidRequest, TooLarge

BLOCK = 512
MAX_HEADER_BYTES = 1 << 20
MAX_HEADERS = 16
_PIECE_BYTES = 1 << 20
_LINKS_AND_DEVICES = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a FIFO",
}


class ReadableStream(Protocol):
    def read(self, count: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class TarMember:
    """A regular file or a folder; ``size`` is in bytes."""

    name: str
    size: int
    is_folder: bool


class TarStream:
    """Iterate over the members; :meth:`read` gives the data of the last one given.

    Raises (while iterating and reading):
        CorruptData: the archive is damaged or cut off, also one without its end mark.
        InvalidRequest: a link, a device, a sparse file, or a name that is not UTF-8.
        TooLarge: an extension header that is no longer plausible.
    """

    def __init__(self, stream: ReadableStream) -> None:
        self._stream = stream
        self._left = 0
        self._name = ""

    def __iter__(self) -> Iterator[TarMember]:
        while member := self._next():
            self._name, self._left = member.name, _padded(member.size)
            yield member

    def read(self, member: TarMember) -> bytes:
        """The whole data of ``member``, the last one given; its size is the caller's to check."""
        data = self._exactly(self._left)
        self._left = 0
        return data[: member.size]

    def _next(self) -> TarMember | None:
        self._skip(self._left)
        long_name: bytes | None = None
        long_size: int | None = None
        for _ in range(MAX_HEADERS):
            block = self._exactly(BLOCK)
            if block.count(0) == BLOCK:
                return None
            _verify(block, self._name)
            kind, size = block[156:157], _number(block[124:136])
            if kind == b"L":
                long_name = self._extension(size).partition(b"\0")[0]
            elif kind in (b"x", b"X"):
                records = _pax_records(self._extension(size))
                long_name = records.get(b"path", long_name)
                long_size = int(records[b"size"]) if b"size" in records else None
            elif kind in (b"g", b"K"):
                self._skip(_padded(size))
            else:
                name = _text(long_name if long_name is not None else _short_name(block))
                return _member(kind, name, size if long_size is None else long_size)
        raise CorruptData(
            f"the tar file has {MAX_HEADERS} extension headers in a row after {self._name!r}",
            value=self._name,
            remedy=_REMEDY,
        )

    def _extension(self, size: int) -> bytes:
        if size > MAX_HEADER_BYTES:
            raise TooLarge(
                f"a header of {size} bytes follows {self._name!r} in the tar file",
                value=size,
                remedy="pack the files without extended attributes",
            )
        return self._exactly(_padded(size))[:size]

    def _skip(self, count: int) -> None:
        while count:
            count -= len(self._exactly(min(count, _PIECE_BYTES)))
        self._left = 0

    def _exactly(self, count: int) -> bytes:
        pieces, missing = [], count
        while missing:
            piece = self._stream.read(min(missing, _PIECE_BYTES))
            if not piece:
                raise CorruptData(
                    f"the tar file is cut off after {self._name!r}",
                    value=self._name,
                    remedy=_REMEDY,
                )
            pieces.append(piece)
            missing -= len(piece)
        return b"".join(pieces)


_REMEDY = "make the archive again and upload it again"


def is_tar(head: bytes) -> bool:
    """Whether a file's first 512 bytes are a tar header, or the end mark of an empty tar."""
    if len(head) < BLOCK:
        return False
    return head.count(0) == BLOCK or _sums_match(head)


def _member(kind: bytes, name: str, size: int) -> TarMember:
    if kind == b"5" or (kind == b"\0" and name.endswith("/")):
        return TarMember(name, 0, is_folder=True)
    if kind in (b"0", b"\0", b"7"):
        return TarMember(name, size, is_folder=False)
    what = _LINKS_AND_DEVICES.get(kind, "neither a file nor a folder")
    raise InvalidRequest(
        f"the member {name!r} is {what}", value=name, remedy="pack the files themselves"
    )


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _verify(block: bytes, after: str) -> None:
    if not _sums_match(block):
        raise CorruptData(
            f"the tar file has a damaged header after {after!r}", value=after, remedy=_REMEDY
        )


def _sums_match(block: bytes) -> bool:
    try:
        stored = _number(block[148:156])
    except CorruptData:
        return False
    others = block[:148] + b" " * 8 + block[156:]
    total = sum(others)
    # Some old programs summed signed characters.
    return stored == total or stored == total - 256 * sum(byte > 127 for byte in others)


def _number(field: bytes) -> int:
    """Octal digits, or (GNU) big-endian base 256 after a first byte of 0x80."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise CorruptData("a tar header has a bad number", value=repr(field), remedy=_REMEDY)
    return int(digits or b"0", 8)


def _short_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _text(name: bytes) -> str:
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequest(
            f"the member name {name!r} is not UTF-8", value=repr(name), remedy="rename it"
        ) from error


def _pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records ``<length> <key>=<value>\\n`` of a pax header."""
    records, position = {}, 0
    while position < len(data):
        digits = data[position : position + 8].partition(b" ")[0]
        length = int(digits) if digits.isdigit() else 0
        record = data[position + len(digits) + 1 : position + length]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise CorruptData("a pax header is malformed", value=repr(digits), remedy=_REMEDY)
        bad_size = key == b"size" and not (value[:-1].isdigit() and len(value) < 20)
        if bad_size or key.startswith(b"GNU.sparse"):
            raise InvalidRequest(
                f"a pax header has the record {key.decode('utf-8', 'replace')!r}",
                value=repr(key),
                remedy="pack without the option --sparse",
            )
        records[key] = value[:-1]
        position += length
    return records
