"""From a spec to a source; uploads are recognised by what they contain, not by their names."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from cache.errors import CorruptData, InvalidRequest, NotFound
from cache.hdf5_arrays import open_hdf5_arrays
from cache.store import Store
from worker.sources.archive import ArchiveFormat, open_archive
from worker.sources.array_values import InMemory, NamedArray
from worker.sources.arrays import Part, parts_of, source_of_parts
from worker.sources.builtin import open_builtin
from worker.sources.folder import open_folder
from worker.sources.npz import open_npz
from worker.sources.pickles import load_arrays
from worker.sources.source import Budget, IngestLimits, Source
from worker.sources.tar_stream import BLOCK, is_tar

Format = ArchiveFormat | Literal["npz", "hdf5", "pickle"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_LOCAL_HEADER_BYTES = 30
_FORMATS = "zip, tar, tar.gz of images; npz, HDF5 or pickle of arrays"


def open_source(spec: Mapping[str, Any], store: Store, limits: IngestLimits) -> Source:
    """The images that a spec names:

        {"kind": "builtin", "name": "digits"}
        {"kind": "torchvision", "name": "cifar10"}
        {"kind": "folder", "path": "birds"}                   below the data root
        {"kind": "upload", "files": [{"path": …, "name": …}]}  below the store's incoming

    Raises:
        InvalidRequest: an unknown kind, a missing field, or as the source says.
        NotFound, TooLarge, CorruptData, Unavailable: as the source says.
    """
    kind = spec.get("kind")
    match kind:
        case "builtin":
            return open_builtin(_text(spec, "name"), limits)
        case "torchvision":
            from worker.sources.torchvision_sets import open_torchvision  # loads torch

            return open_torchvision(_text(spec, "name"), store, limits)
        case "folder":
            return open_folder(_text(spec, "path"), store, limits)
        case "upload":
            return _open_upload(spec.get("files"), store, limits)
    raise InvalidRequest(
        f"the source's kind is {kind!r}",
        value=kind,
        remedy="use builtin, torchvision, folder or upload",
    )


def _text(spec: Mapping[str, Any], field: str) -> str:
    value = spec.get(field)
    if not isinstance(value, str) or not value or "\0" in value:
        raise InvalidRequest(
            f"the source's {field} is {value!r}", value=value, remedy=f"give {field} as a text"
        )
    return value


def _open_upload(files: Any, store: Store, limits: IngestLimits) -> Source:
    if not isinstance(files, Sequence) or not files:
        raise InvalidRequest("the upload has no files", value=files, remedy="upload a file")
    uploads = [(_incoming(_text(f, "path"), store), _text(f, "name")) for f in files]
    formats = [recognise(path, name) for path, name in uploads]
    for found, (path, name) in zip(formats, uploads, strict=True):
        if found in ("zip", "tar", "tar.gz"):
            if len(uploads) > 1:
                raise InvalidRequest(
                    f"the archive {name!r} is not the only file",
                    value=name,
                    remedy="upload one archive alone, or several files of arrays",
                )
            return open_archive(path, found, limits)
    return _open_arrays(list(zip(formats, uploads, strict=True)), limits)


def _incoming(path: str, store: Store) -> Path:
    """An uploaded file. A spec must not make a worker read any other file of the server."""
    found, folder = Path(path).resolve(), (store.root / "incoming").resolve()
    if not found.is_relative_to(folder) or found == folder:
        raise InvalidRequest(
            f"{path!r} is no uploaded file", value=path, remedy="upload it with the request"
        )
    if not found.is_file():
        raise NotFound("the uploaded file is no longer there", value=path, remedy="upload it again")
    return found


def recognise(path: Path, name: str) -> Format:
    """What a file contains, by its first bytes; ``name`` is for the error only.

    Raises:
        InvalidRequest: none of the formats that are taken.
        CorruptData: a gzip file that cannot even be begun.
    """
    with path.open("rb") as file:
        head = file.read(2 * BLOCK)
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        length = int.from_bytes(head[26:28], "little")
        first = head[_LOCAL_HEADER_BYTES : _LOCAL_HEADER_BYTES + length]
        return "npz" if first.endswith(b".npy") else "zip"
    if _HDF5 in (head[:8], head[BLOCK : BLOCK + 8]):
        return "hdf5"
    if head.startswith(b"\x1f\x8b"):
        if is_tar(_first_unpacked(path, name)):
            return "tar.gz"
    elif is_tar(head[:BLOCK]):
        return "tar"
    elif _is_pickle(head):
        return "pickle"
    raise InvalidRequest(
        f"{name!r} is {'empty' if not head else 'in no format that is taken'}",
        value=name,
        remedy=f"upload {_FORMATS}",
    )


def _first_unpacked(path: Path, name: str) -> bytes:
    try:
        with gzip.open(path, "rb") as file:
            return file.read(BLOCK)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise CorruptData(
            f"the gzip file {name!r} is broken or cut off: {error}",
            value=name,
            remedy="make the archive again and upload it again",
        ) from error


def _is_pickle(head: bytes) -> bool:
    """Protocol 2 and up begin with a mark and the version; 0 and 1 with a dict."""
    if head[:1] == b"\x80":
        return len(head) > 1 and 2 <= head[1] <= 5
    return head.startswith((b"(d", b"(l", b"}q", b"]q", b"}.", b"]."))


def _open_arrays(
    uploads: Sequence[tuple[Format, tuple[Path, str]]], limits: IngestLimits
) -> Source:
    with ExitStack() as resources:
        parts: list[Part] = []
        classes: tuple[str, ...] = ()
        for found, (path, name) in uploads:
            arrays = _arrays(found, path, limits, resources)
            new_parts, new_classes = parts_of(name, arrays)
            parts += new_parts
            if classes and new_classes and classes != new_classes:
                raise InvalidRequest(
                    f"{name!r} names other classes than the files before it",
                    value=list(new_classes)[:20],
                    remedy="give the same classes in all files",
                )
            classes = new_classes or classes
        source = source_of_parts(parts, classes, limits)
        return replace(source, resources=resources.pop_all())


def _arrays(
    found: Format, path: Path, limits: IngestLimits, resources: ExitStack
) -> Mapping[str, NamedArray]:
    if found == "npz":
        return open_npz(path, limits, resources)
    if found == "hdf5":
        spend = Budget(limits, path.stat().st_size).spend
        return open_hdf5_arrays(path, spend, resources)
    return {name: InMemory(array) for name, array in load_arrays(path, limits.max_bytes).items()}
