"""Images in an uploaded zip, tar or tar.gz, read once, front to back.

Split and class follow from the paths (see ``layout.py``); one folder around everything is taken
off. Each member is checked before anything of it is read: names must stay inside the archive and
be unique, members must be plain files. Bytes are counted as they are unpacked (``Budget``).
"""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path
from typing import Literal

from cache.errors import CorruptData, InvalidRequest, TooLarge
from worker.sources.layout import is_image, is_sane, place_all
from worker.sources.source import Budget, Images, IngestLimits, Source, SourceImage
from worker.sources.tar_stream import ReadableStream, TarStream
from worker.sources.zip_file import open_zip, read_pieces, too_many_members

ArchiveFormat = Literal["zip", "tar", "tar.gz"]

_DRIVE = re.compile(r"[A-Za-z]:")
_DRAIN_BYTES = 1 << 20
MAX_NAME_BYTES = 1024
MAX_NAMES_BYTES = 512 << 20
"""Of all members together: names are kept until the dataset is written."""


def open_archive(path: Path, archive_format: ArchiveFormat, limits: IngestLimits) -> Source:
    """The images of an archive. Errors come while they are read:

    Raises:
        InvalidRequest: a member's name leads out of the archive, occurs twice or is not UTF-8; a
            member is encrypted, a link or a device; images do not lie as they should.
        TooLarge: too many members, too large an image, more bytes than allowed.
        CorruptData: the archive is damaged or cut off.
    """
    images = {"zip": _zip_images, "tar": _tar_images, "tar.gz": _tar_gz_images}[archive_format]
    return Source(images=images(path, limits), place=lambda names: place_all(names, strip_top=True))


class _Names:
    """Checks the members' names as they come."""

    def __init__(self, limits: IngestLimits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._count = 0
        self._bytes = 0

    def check(self, name: str, *, is_folder: bool) -> tuple[str, ...]:
        """The parts of a member's path.

        Raises:
            InvalidRequest, TooLarge: as :func:`open_archive` says.
        """
        self._count += 1
        if self._count > self._limits.max_members:
            raise too_many_members(self._limits.max_members)
        size = len(name.encode("utf-8", "surrogatepass"))
        self._bytes += size
        if size > MAX_NAME_BYTES or self._bytes > MAX_NAMES_BYTES:
            raise TooLarge(
                f"the member {name[:100]!r}… has a name of {size} bytes, all together "
                f"{self._bytes}; the limits are {MAX_NAME_BYTES} and {MAX_NAMES_BYTES}",
                value=name[:100],
                remedy="give folders and files shorter names",
            )
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        clean = "/".join(parts)
        if name.startswith("/") or "\\" in name or _DRIVE.match(name) or ".." in parts:
            problem, remedy = "leads out of the archive", "pack relative paths, with '/' in them"
        elif not is_sane(clean) or (not parts and not is_folder):
            problem, remedy = "is no file name", "rename it"
        elif clean in self._files:
            problem, remedy = "occurs twice", "pack each file once"
        else:
            if not is_folder:
                self._files.add(clean)
            return parts
        raise InvalidRequest(f"the member {name!r} {problem}", value=name, remedy=remedy)


def _zip_images(path: Path, limits: IngestLimits) -> Images:
    budget = Budget(limits, path.stat().st_size)
    names = _Names(limits)
    with open_zip(path, limits) as archive:
        members = [
            (member, names.check(member.filename, is_folder=member.is_dir()))
            for member in archive.infolist()
        ]
        for member, parts in members:
            if member.is_dir() or not is_image(parts):
                continue
            row_id = "/".join(parts)
            _check_image_size(row_id, member.file_size, limits)
            data = bytearray()
            for piece in read_pieces(archive, member, budget):
                data += piece
                _check_image_size(row_id, len(data), limits)
            yield SourceImage(row_id, "", None, bytes(data))


def _tar_images(path: Path, limits: IngestLimits) -> Images:
    with path.open("rb") as file:
        yield from _images_of(file, path, limits)


def _tar_gz_images(path: Path, limits: IngestLimits) -> Images:
    try:
        with gzip.open(path, "rb") as file:
            yield from _images_of(file, path, limits)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorruptData(
            f"the tar.gz file is broken or cut off: {error}",
            value=str(error),
            remedy="make the archive again and upload it again",
        ) from error


class _Counted:
    """A stream whose bytes are counted, those that are skipped too: unpacking them is work."""

    def __init__(self, stream: ReadableStream, budget: Budget, name: str) -> None:
        self._stream, self._budget, self._name = stream, budget, name

    def read(self, count: int) -> bytes:
        data = self._stream.read(count)
        self._budget.spend(len(data), self._name)
        return data


def _images_of(stream: ReadableStream, path: Path, limits: IngestLimits) -> Images:
    counted = _Counted(stream, Budget(limits, path.stat().st_size), "the tar file")
    names = _Names(limits)
    tar = TarStream(counted)
    for member in tar:
        parts = names.check(member.name, is_folder=member.is_folder)
        if not member.is_folder and is_image(parts):
            row_id = "/".join(parts)
            _check_image_size(row_id, member.size, limits)
            yield SourceImage(row_id, "", None, tar.read(member))
    while counted.read(_DRAIN_BYTES):  # to the end, where gzip keeps its checksum
        pass


def _check_image_size(name: str, size: int, limits: IngestLimits) -> None:
    if size > limits.max_image_bytes:
        raise TooLarge(
            f"the image {name!r} has more than {limits.max_image_bytes} bytes",
            value=name,
            remedy="scale the image down before it is packed",
        )
