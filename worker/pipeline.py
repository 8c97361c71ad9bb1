"""Rows → batches, decoded ahead of the network by threads.

Pillow and torch release the interpreter lock, so threads decode in parallel with compute. At most
``AHEAD`` batches wait, whatever the size of the dataset.

Shapes: N rows of a batch, C, H, W.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cache.errors import CorruptData, FeaturepackError, TooLarge
from cache.recipe import Transform
from worker.image_reader import ImageReader
from worker.images import Pixels, decode, pixels_to_rgb
from worker.transforms import apply_batch

AHEAD = 3
PIECE = 8
"""Rows that one thread decodes and transforms at a time."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows ready for the network; undecodable ones are zero."""

    row_N: Rows
    images_NCHW: Tensor
    valid_N: npt.NDArray[np.bool_]
    broken: dict[int, FeaturepackError]
    decode_seconds: float


def batches(
    reader: ImageReader,
    transform: Transform,
    rows: Rows,
    *,
    size: int,
    threads: int,
) -> Iterator[Batch]:
    """Batches of ``size`` of these rows, in order; the last one may be smaller.

    Raises:
        CorruptData: an image's bytes are not those that were registered.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: deque[_Waiting] = deque()
    try:
        for start in range(0, len(rows), size):
            waiting.append(_begin(pool, reader, transform, rows[start : start + size]))
            if len(waiting) >= AHEAD:
                yield waiting.popleft().collect()
        while waiting:
            yield waiting.popleft().collect()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Waiting:
    """A batch whose pieces are being decoded into their places."""

    row_N: Rows
    images_NCHW: Tensor
    pieces: list[Future[_Decoded]]

    def collect(self) -> Batch:
        """Wait for all pieces."""
        broken: dict[int, FeaturepackError] = {}
        seconds = 0.0
        for piece in self.pieces:
            decoded = piece.result()
            broken |= decoded.broken
            seconds += decoded.seconds
        valid_N = np.array([row not in broken for row in self.row_N.tolist()], bool)
        return Batch(self.row_N, self.images_NCHW, valid_N, broken, seconds)


@dataclass(frozen=True)
class _Decoded:
    """Which rows of a piece cannot be decoded and why, and the seconds it took."""

    broken: dict[int, FeaturepackError]
    seconds: float


def _begin(
    pool: ThreadPoolExecutor, reader: ImageReader, transform: Transform, row_N: Rows
) -> _Waiting:
    images_NCHW = torch.zeros(len(row_N), 3, *transform.output_HW)
    pieces = [
        pool.submit(
            _decode, reader, transform, row_N[start:][:PIECE], images_NCHW[start : start + PIECE]
        )
        for start in range(0, len(row_N), PIECE)
    ]
    return _Waiting(row_N, images_NCHW, pieces)


def _decode(
    reader: ImageReader, transform: Transform, row_P: Rows, images_PCHW: Tensor
) -> _Decoded:
    """Put the network's input of some rows in its place; undecodable ones stay zero.

    Images of one shape, as datasets of small ones have them, are transformed in one call.
    """
    began = time.perf_counter()
    broken: dict[int, FeaturepackError] = {}
    by_shape: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}
    for place, row in enumerate(row_P.tolist()):
        data = reader.read(row)  # bytes that changed fail the job; broken images do not
        try:
            pixels_HWC = decode(data) if isinstance(data, bytes) else pixels_to_rgb(data)
            by_shape.setdefault(pixels_HWC.shape, []).append((place, pixels_HWC))
        except (CorruptData, TooLarge) as error:
            broken[row] = error
    for alike in by_shape.values():
        places = [place for place, _ in alike]
        try:
            images_PCHW[places] = apply_batch(np.stack([p for _, p in alike]), transform)
        except TooLarge as error:
            broken |= {int(row_P[place]): error for place in places}
    return _Decoded(broken, time.perf_counter() - began)
