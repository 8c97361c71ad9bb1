"""The arrays of an HDF5 file that somebody uploaded, read in blocks of rows.

The file may not make the server read any other file: soft and external links, virtual datasets
and external storage are refused. Nor may it make the server run out of memory: sizes are given to
``spend`` before they are read, chunks are bounded, and each compressed chunk is unpacked here
first, no further than its size, because HDF5's own deflate filter grows its buffer without end.
Of the filters gzip, shuffle and fletcher32 are admitted.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData, FeaturepackError, InvalidRequest

BLOCK_BYTES = 8 << 20
MAX_CHUNK_BYTES = 256 << 20
MAX_NAMES = 1000
MAX_TEXT = 1000
MAX_TEXT_ROWS = 10_000
_CHUNK_CACHE_BYTES = 512 << 20
_DEFLATE, _SHUFFLE, _FLETCHER32 = 1, 2, 3
_CHECKSUM_BYTES = 4

Spend = Callable[[int, str], None]
"""Counts bytes that are about to be unpacked under a name; raises where they are too many."""


@dataclass(frozen=True)
class Hdf5Array:
    """One dataset. ``dtype`` has kind U for strings, O for what cannot be read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _dataset: Any
    _spend: Spend
    _text_rows: int

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        """Consecutive runs of rows.

        Raises:
            InvalidRequest: filters, chunks or texts that are not admitted.
            CorruptData: the file is damaged or cut off.
            TooLarge: as ``spend`` decides.
        """
        name = str(self._dataset.name)
        row_bytes = max(1, math.prod(self.shape[1:]) * self._dataset.dtype.itemsize)
        rows = max(1, BLOCK_BYTES // row_bytes)
        self._spend(self.shape[0] * row_bytes, name)
        with _reading(name):
            _check_chunks(self._dataset)
        is_text = h5py.check_string_dtype(self._dataset.dtype) is not None
        if is_text:
            rows = min(rows, self._text_rows)
        for start in range(0, self.shape[0], rows):
            with _reading(name):
                block = self._dataset[start : start + rows]
                if is_text:
                    block = _texts(block, name)
            yield block


def open_hdf5_arrays(path: Path, spend: Spend, resources: ExitStack) -> dict[str, Hdf5Array]:
    """The datasets at the top and one group below, by ``name`` or ``group/name``.

    The file stays open until ``resources`` is closed.

    Raises:
        CorruptData: no HDF5 file, or one that is damaged or cut off.
        InvalidRequest: links or datasets that lead to other files; too many names.
    """
    with _reading(path.name):
        file = resources.enter_context(h5py.File(path, "r", rdcc_nbytes=_CHUNK_CACHE_BYTES))
        # However often a text is repeated in the file, a block of them stays below 256 MB.
        text_rows = min(MAX_TEXT_ROWS, max(1, (256 << 20) // max(1, path.stat().st_size)))
        found = {}
        for name, member in _members(file, ""):
            datasets = [(name, member)]
            if isinstance(member, h5py.Group):
                datasets = list(_members(member, f"{name}/"))
            for full_name, dataset in datasets:
                if isinstance(dataset, h5py.Dataset) and dataset.shape:
                    _check_storage(full_name, dataset)
                    is_text = h5py.check_string_dtype(dataset.dtype) is not None
                    dtype = np.dtype(str) if is_text else dataset.dtype
                    found[full_name] = Hdf5Array(dataset.shape, dtype, dataset, spend, text_rows)
        return found


def _members(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    if len(group) > MAX_NAMES:
        raise _refused(
            prefix or "/", f"has more than {MAX_NAMES} names", "leave out what is not used"
        )
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _refused(f"{prefix}{name}", "is a link", "store the arrays in the file itself")
        yield f"{prefix}{name}", group[name]


def _check_storage(name: str, dataset: Any) -> None:
    creation = dataset.id.get_create_plist()
    remedy = "store the arrays in the file itself"
    if creation.get_layout() == h5py.h5d.VIRTUAL:
        raise _refused(name, "is a virtual dataset", remedy)
    if creation.get_external_count():
        raise _refused(name, "has its data in other files", remedy)


def _check_chunks(dataset: Any) -> None:
    """Refuse chunks that would unpack to more than they declare, before HDF5 tries."""
    creation = dataset.id.get_create_plist()
    filters = [creation.get_filter(i)[0] for i in range(creation.get_nfilters())]
    allowed = {_DEFLATE, _SHUFFLE, _FLETCHER32}
    if len(set(filters)) < len(filters) or not allowed.issuperset(filters):
        raise _refused(
            dataset.name, "is compressed by an unusual method", "write it with compression='gzip'"
        )
    if dataset.chunks is None:
        return
    chunk_bytes = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk_bytes > MAX_CHUNK_BYTES:
        raise _refused(
            dataset.name,
            f"has chunks of {chunk_bytes} bytes",
            f"write it with chunks of at most {MAX_CHUNK_BYTES} bytes",
        )
    stored: list[Any] = []
    dataset.id.chunk_iter(stored.append)
    for chunk in stored:
        if chunk.size > chunk_bytes + chunk_bytes // 100 + 1024:
            raise ValueError("a chunk has more data than it can hold")
        deflated = _DEFLATE in filters and not chunk.filter_mask & (1 << filters.index(_DEFLATE))
        if deflated:
            _, packed = dataset.id.read_direct_chunk(chunk.chunk_offset)
            most = chunk_bytes + _CHECKSUM_BYTES
            if len(zlib.decompressobj().decompress(packed, most + 1)) > most:
                raise ValueError("a chunk unpacks to more than its size")


def _texts(block: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    texts = [t.decode("utf-8") if isinstance(t, bytes) else str(t) for t in block.ravel()]
    if max(map(len, texts), default=0) > MAX_TEXT:
        raise _refused(name, f"has texts of more than {MAX_TEXT} letters", "use shorter names")
    return np.array(texts, dtype=str).reshape(block.shape)


@contextmanager
def _reading(name: str) -> Iterator[None]:
    """Whatever h5py and HDF5 raise becomes CorruptData."""
    try:
        yield
    except FeaturepackError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, zlib.error) as error:
        raise CorruptData(
            f"the HDF5 file is damaged or cut off at {name!r}: {error}",
            value=name,
            remedy="write the file again and upload it again",
        ) from error


def _refused(name: str, problem: str, remedy: str) -> InvalidRequest:
    return InvalidRequest(f"the HDF5 member {name!r} {problem}", value=name, remedy=remedy)
