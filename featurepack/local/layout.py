"""Where a pack's arrays lie in its file, so that it is mapped without HDF5.

Shapes: N rows, S shards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.errors import CorruptData

SHARD_HASH = "xxh3-128"
ARRAYS = ("features", "labels", "valid", "row_hash", "shard_hash")

Span = tuple[int, int]
"""Bytes of a file from the first to before the second."""


@dataclass(frozen=True)
class Place:
    """One array: contiguous, C order, ``offset`` bytes from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def span(self) -> Span:
        return self.offset, self.offset + int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Layout:
    """``GET /v1/packs/{id}/layout``: the file's hash and length, and its arrays."""

    etag: str
    bytes: int
    shard_rows: int
    arrays: Mapping[str, Place]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Layout:
        """Raises CorruptData if it does not describe a file that can be mapped."""
        try:
            arrays = {
                name: Place(str(one["dtype"]), tuple(map(int, one["shape"])), int(one["offset"]))
                for name, one in data["arrays"].items()
            }
            layout = cls(str(data["etag"]), int(data["bytes"]), int(data["shard_rows"]), arrays)
            layout._check(data["hash"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CorruptData(
                f"the pack's layout cannot be used: {error}",
                value=data,
                remedy="use a client and a service of the same version",
            ) from error
        return layout

    def _check(self, hash_name: object) -> None:
        if hash_name != SHARD_HASH:
            raise ValueError(f"its shards are hashed with {hash_name}")
        for name in ARRAYS:
            place = self.arrays[name]
            if np.dtype(place.dtype).kind not in "fiu" or min(place.shape, default=-1) < 0:
                raise ValueError(f"{name} is {place.dtype} {list(place.shape)}")
            if place.offset < 0 or place.span[1] > self.bytes:
                raise ValueError(f"{name} lies outside the file")
        rows = self.arrays["features"].shape[0]
        shards = -(-rows // max(1, self.shard_rows))
        wanted = {"labels": (rows,), "valid": (rows,), "row_hash": (rows, 16)}
        for name, shape in (wanted | {"shard_hash": (shards, 16)}).items():
            if self.arrays[name].shape != shape:
                raise ValueError(f"{name} has shape {list(self.arrays[name].shape)}")

    def view(self, file: npt.NDArray[np.uint8], name: str) -> npt.NDArray[Any]:
        """An array as a part of the file's bytes; nothing is copied."""
        place = self.arrays[name]
        start, stop = place.span
        found: npt.NDArray[Any] = file[start:stop].view(place.dtype).reshape(place.shape)
        return found

    @property
    def shards(self) -> list[Span]:
        """The bytes of each shard of the features."""
        start, stop = self.arrays["features"].span
        rows = self.arrays["features"].shape[0]
        step = max(1, self.shard_rows * ((stop - start) // max(1, rows)))
        return [(first, min(stop, first + step)) for first in range(start, stop, step)]
