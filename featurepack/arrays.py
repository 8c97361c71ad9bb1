"""Rows over HTTP → NumPy arrays, read straight into their place.

A connection that breaks is taken up again at the first row that is missing, so that a long
transfer does not begin anew.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Final

import httpx
import numpy as np
import numpy.typing as npt

from featurepack.errors import CorruptData
from featurepack.transport import Transport
from featurepack.wire import body

RAW: Final = {"Accept": "application/octet-stream"}

Opened = AbstractContextManager[httpx.Response]


def read_rows(
    transport: Transport, open_from: Callable[[int], Opened], *, resumable: bool = True
) -> npt.NDArray[Any]:
    """The array [N, ...row] that a call answers as raw bytes.

    ``open_from(done)`` asks for the answer without its first ``done`` rows; if that is not
    possible (``resumable=False``), it is always called with 0.

    Raises:
        FeaturepackError: the problem that the service answered.
        ConnectionFailed: connections broke too often without a row in between.
        CorruptData: the answer is not what its headers say.
    """
    rows: npt.NDArray[Any] | None = None
    done = 0
    complete = False

    def read() -> None:
        nonlocal rows, done, complete
        with open_from(done) as response:
            shape, dtype = layout_of(response)
            if rows is None:
                rows = np.empty(shape, dtype)
            if (done + shape[0], *shape[1:]) != rows.shape or dtype != rows.dtype:
                raise CorruptData(
                    f"the rest of the rows is {dtype} {list(shape)}",
                    value=list(shape),
                    remedy="ask again; the pack was replaced in between",
                )
            filled = Filled(rows[done:])
            try:
                filled.take(response)
            finally:
                done += filled.rows if resumable else 0
            complete = filled.complete

    transport.persist(read, done=lambda: done, complete=lambda: complete)
    assert rows is not None
    return rows


def layout_of(response: httpx.Response) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype from the headers of a raw answer. Raises CorruptData."""
    shape_text = response.headers.get("X-Featurepack-Shape", "")
    dtype_text = response.headers.get("X-Featurepack-Dtype", "")
    try:
        shape = tuple(int(side) for side in shape_text.split(","))
        dtype = np.dtype(dtype_text)
    except (ValueError, TypeError):
        shape, dtype = (-1,), np.dtype("f4")
    if min(shape) < 0 or dtype.kind not in "fi":
        raise CorruptData(
            f"the answer's layout is shape {shape_text!r}, dtype {dtype_text!r}",
            value=[shape_text, dtype_text],
            remedy="check that the address is a Featurepack service's, and proxies on the way",
        )
    return shape, dtype


class Filled:
    """An array whose bytes are coming in."""

    def __init__(self, rows: npt.NDArray[Any]) -> None:
        self._bytes = rows.reshape(-1).view(np.uint8).data
        self._row_bytes = max(1, rows[:1].nbytes)
        self._at = 0

    def take(self, response: httpx.Response) -> None:
        """Put the answer's bytes into the array. Raises CorruptData if there are too many."""
        for piece in body(response):
            end = self._at + len(piece)
            if end > len(self._bytes):
                raise CorruptData(
                    "the answer is longer than its headers say",
                    value=end,
                    remedy="ask again",
                )
            self._bytes[self._at : end] = piece
            self._at = end

    @property
    def rows(self) -> int:
        """Rows that are there whole."""
        return self._at // self._row_bytes

    @property
    def complete(self) -> bool:
        return self._at == len(self._bytes)
