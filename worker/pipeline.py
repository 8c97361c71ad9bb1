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
from worker.images import decode, pixels_to_rgb
from worker.transforms import apply

AHEAD = 3


@dataclass(frozen=True)
class Batch:
    """Rows ready for the network; undecodable ones are zero."""

    row_N: npt.NDArray[np.int64]
    images_NCHW: Tensor
    valid_N: npt.NDArray[np.bool_]
    broken: dict[int, FeaturepackError]
    decode_seconds: float


def batches(
    reader: ImageReader,
    transform: Transform,
    rows: npt.NDArray[np.int64],
    *,
    size: int,
    threads: int,
) -> Iterator[Batch]:
    """Batches of ``size`` of these rows, in order; the last one may be smaller.

    Raises:
        CorruptData: an image's bytes are not those that were registered.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: deque[tuple[npt.NDArray[np.int64], list[Future[_Decoded]]]] = deque()
    try:
        for start in range(0, len(rows), size):
            row_N = rows[start : start + size]
            decoding = [pool.submit(_decode, reader, transform, int(row)) for row in row_N]
            waiting.append((row_N, decoding))
            if len(waiting) >= AHEAD:
                yield _collect(*waiting.popleft(), transform.output_HW)
        while waiting:
            yield _collect(*waiting.popleft(), transform.output_HW)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_Decoded = tuple[Tensor | FeaturepackError, float]


def _decode(reader: ImageReader, transform: Transform, row: int) -> _Decoded:
    """One row's network input, or why its image cannot be decoded; and the seconds it took."""
    began = time.perf_counter()
    data = reader.read(row)  # bytes that changed fail the job; broken images do not
    image: Tensor | FeaturepackError
    try:
        pixels_HWC = decode(data) if isinstance(data, bytes) else pixels_to_rgb(data)
        image = apply(pixels_HWC, transform)
    except (CorruptData, TooLarge) as error:
        image = error
    return image, time.perf_counter() - began


def _collect(
    row_N: npt.NDArray[np.int64], futures: list[Future[_Decoded]], output_HW: tuple[int, int]
) -> Batch:
    decoded = [future.result() for future in futures]
    results = zip(row_N.tolist(), (result for result, _ in decoded), strict=True)
    broken = {row: result for row, result in results if isinstance(result, FeaturepackError)}
    zero = torch.zeros(3, *output_HW)
    rows = [image if isinstance(image, Tensor) else zero for image, _ in decoded]
    return Batch(
        row_N=row_N,
        images_NCHW=torch.stack(rows),
        valid_N=np.array([isinstance(image, Tensor) for image, _ in decoded]),
        broken=broken,
        decode_seconds=sum(seconds for _, seconds in decoded),
    )
