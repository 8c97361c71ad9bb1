"""Rows → batches, decoded ahead of the network: by threads, or on many cores by processes.

Pillow, TurboJPEG and torch release the interpreter lock, so threads decode in parallel with
compute; but each image takes about 0.1 ms of Python, and more than four threads would wait for
one another. At most ``AHEAD`` batches wait, or as many as keep all processes busy, whatever the
size of the dataset.

Shapes: N rows of a batch, P of a piece, H, W of a source, h, w of the network's input.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cache.errors import FeaturepackError
from cache.image_files import Entry
from cache.recipe import Transform
from worker.pixels.decode_processes import dying
from worker.pixels.decoding import Decoded
from worker.pixels.handover import Group, ProcessHandover, ThreadHandover
from worker.pixels.image_reader import ImageReader

__all__ = ["Batch", "Group", "batches"]

AHEAD = 3
PIECE = 8
"""Rows that one thread or process decodes and transforms at a time."""

MOST_THREADS = 4
"""Beyond these, processes."""

LEAST_ROWS = 1024
"""Fewer are decoded before processes have started."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """Rows ready for an engine; undecodable ones are zero.

    ``images`` is a Tensor: uint8 pixels ``[N, h, w, 3]`` of the input's size where the recipe
    resamples in uint8 (the engine normalises them), else the network's float32 input
    ``[N, 3, h, w]``. With ``resize_later`` and a recipe that resamples in float32 it is a list of
    :class:`~worker.pixels.handover.Group` instead, and undecodable rows are in none of them.
    """

    row_N: Rows
    images: Any
    valid_N: npt.NDArray[np.bool_]
    broken: dict[int, FeaturepackError]
    decode_seconds: float


class Handover(Protocol):
    """Where pieces are decoded, and how their results become a batch's images."""

    def begin(self, slot: Any, place: int, entries_P: list[Entry]) -> Future[Decoded]:
        """Decode a piece that begins at a place of the batch."""
        ...

    def slot(self, count: int) -> Any:
        """Room for a batch."""
        ...

    def images(self, slot: Any, count: int, sources: Iterable[tuple[int, Any]]) -> Any:
        """The batch's images, when all pieces are decoded; sources by their place in it."""
        ...

    def close(self) -> None: ...


def batches(
    reader: ImageReader,
    transform: Transform,
    portions: Iterable[Rows],
    *,
    rows: int,
    size: int,
    threads: int,
    resize_later: bool = False,
) -> Generator[Batch]:
    """Batches of ``size`` of about ``rows`` rows, in order; the last one may be smaller.

    Portions are asked for when they are needed, and decoding goes on from one to the next.

    With ``resize_later`` sources are handed over as they are, for a device to resize them
    (:func:`worker.pixels.transforms.resize_on`), where the recipe resamples in float32.

    Raises:
        CorruptData: an image's bytes are not those that were registered.
        Unavailable: an image cannot be read just now, or a decoding process died.
    """
    as_sources = resize_later and transform.resample == "float32"
    ahead = AHEAD
    hand: Handover
    if threads > MOST_THREADS and rows >= LEAST_ROWS and hasattr(os, "memfd_create"):
        ahead = max(AHEAD, 1 + -(-2 * threads * PIECE // size))  # two pieces for every process
        hand = ProcessHandover(reader.files, transform, as_sources, threads, ahead, size)
    else:
        hand = ThreadHandover(reader.files, transform, as_sources, threads)
    waiting: deque[_Waiting] = deque()
    try:
        for row_N in _cut(portions, size):
            waiting.append(_begin(hand, reader, row_N))
            if len(waiting) >= ahead:
                yield waiting.popleft().collect(hand)
        while waiting:
            yield waiting.popleft().collect(hand)
    finally:
        hand.close()


def _cut(portions: Iterable[Rows], size: int) -> Iterator[Rows]:
    """Rows of one portion after the other, ``size`` at a time."""
    left = np.empty(0, np.int64)
    for portion in portions:
        left = np.concatenate([left, portion])
        while len(left) >= size:
            yield left[:size]
            left = left[size:]
    if len(left):
        yield left


@dataclass(frozen=True)
class _Waiting:
    """A batch whose pieces are being decoded into their places."""

    row_N: Rows
    slot: Any
    pieces: list[Future[Decoded]]

    def collect(self, hand: Handover) -> Batch:
        """Wait for all pieces."""
        with dying():
            decoded = [piece.result() for piece in self.pieces]
        broken = {row: error for piece in decoded for row, error in piece.broken.items()}
        valid_N = np.array([row not in broken for row in self.row_N.tolist()], bool)
        sources = (
            (start * PIECE + place, source)
            for start, piece in enumerate(decoded)
            for place, source in piece.sources
        )
        images = hand.images(self.slot, len(self.row_N), sources)
        seconds = sum(piece.seconds for piece in decoded)
        return Batch(self.row_N, images, valid_N, broken, seconds)


def _begin(hand: Handover, reader: ImageReader, row_N: Rows) -> _Waiting:
    slot = hand.slot(len(row_N))
    entries = [reader.entry(row) for row in row_N.tolist()]
    starts = range(0, len(entries), PIECE)
    pieces = [hand.begin(slot, start, entries[start : start + PIECE]) for start in starts]
    return _Waiting(row_N, slot, pieces)
