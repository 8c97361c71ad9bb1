"""Rows → batches, decoded ahead of the network by threads.

Pillow and torch release the interpreter lock, so threads decode in parallel with compute. At most
``AHEAD`` batches wait, whatever the size of the dataset.

Shapes: N rows of a batch, C, H, W.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
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
    """Rows ``start`` and following, ready for the network; undecodable ones are zero."""

    start: int
    images_NCHW: Tensor
    valid_N: npt.NDArray[np.bool_]
    broken: dict[int, FeaturepackError]
    decode_seconds: float

    @property
    def stop(self) -> int:
        return self.start + len(self.valid_N)


def batches(
    reader: ImageReader,
    transform: Transform,
    spans: Iterable[tuple[int, int]],
    *,
    size: int,
    threads: int,
) -> Iterator[Batch]:
    """Batches of at most ``size`` rows over ``spans`` (start, stop), in order.

    A batch never crosses the end of a span.

    Raises:
        CorruptData: an image's bytes are not those that were registered.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
    waiting: deque[tuple[int, list[Future[_Decoded]]]] = deque()
    try:
        for start, stop in _cut(spans, size):
            rows = range(start, stop)
            waiting.append((start, [pool.submit(_decode, reader, transform, r) for r in rows]))
            if len(waiting) >= AHEAD:
                yield _collect(*waiting.popleft(), transform.output_HW)
        while waiting:
            yield _collect(*waiting.popleft(), transform.output_HW)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _cut(spans: Iterable[tuple[int, int]], size: int) -> Iterator[tuple[int, int]]:
    for start, stop in spans:
        for first in range(start, stop, size):
            yield first, min(first + size, stop)


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


def _collect(start: int, futures: list[Future[_Decoded]], output_HW: tuple[int, int]) -> Batch:
    decoded = [future.result() for future in futures]
    broken = {start + i: d for i, (d, _) in enumerate(decoded) if isinstance(d, FeaturepackError)}
    zero = torch.zeros(3, *output_HW)
    rows = [image if isinstance(image, Tensor) else zero for image, _ in decoded]
    return Batch(
        start=start,
        images_NCHW=torch.stack(rows),
        valid_N=np.array([start + i not in broken for i in range(len(decoded))]),
        broken=broken,
        decode_seconds=sum(seconds for _, seconds in decoded),
    )
