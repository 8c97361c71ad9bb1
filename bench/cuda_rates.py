"""Images/s of the pipeline, with and without an engine behind it."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from cache.dataset import Manifest
from cache.recipe import Tap, Transform
from cache.store import Store
from worker.computing import computed
from worker.engines import Engine
from worker.pixels.image_reader import ImageReader
from worker.pixels.pipeline import Batch, batches
from worker.tally import Tally

ROWS = 1 << 21
"""More than any device computes while it is measured."""

DECODED_AT_ONCE = 64


@dataclass(frozen=True)
class Rates:
    """Measures on datasets of ``store`` for so many ``seconds``, decoding by so many threads."""

    store: Store
    threads: int
    seconds: float

    def decoding(self, manifest: Manifest, transform: Transform) -> float:
        with closing(self._feed(manifest, transform, DECODED_AT_ONCE)) as made:
            return self._rate(len(batch.row_N) for batch in made)

    def end_to_end(
        self, engine: Engine, manifest: Manifest, transform: Transform, tap: Tap
    ) -> float:
        with (
            closing(self._feed(manifest, transform, engine.batch)) as made,
            closing(computed(engine, made, [tap], Tally(0))) as done,
        ):
            return self._rate(len(each.batch.row_N) for each in done)

    def _feed(self, manifest: Manifest, transform: Transform, size: int) -> Generator[Batch]:
        """Batches of the dataset's images, again and again."""
        rows = np.arange(ROWS) % len(manifest)
        with (
            ImageReader(manifest, self.store) as reader,
            closing(
                batches(reader, transform, [rows], rows=ROWS, size=size, threads=self.threads)
            ) as made,
        ):
            yield from made

    def _rate(self, counts: Iterator[int]) -> float:
        """Images per second, once the first two batches are through."""
        for _ in range(2):
            next(counts)
        images, began = 0, time.perf_counter()
        for count in counts:
            images += count
            if (spent := time.perf_counter() - began) >= self.seconds:
                return images / spent
        raise RuntimeError("the images ran out")
