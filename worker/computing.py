"""Batches of images → batches of features, some of them at the same time.

Shapes: N rows of a batch, D values in a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cache.recipe import Recipe, Tap
from worker.context import Context
from worker.engines import Engine
from worker.networks import pool
from worker.pixels.image_reader import ImageReader
from worker.pixels.pipeline import Batch, Rows, batches
from worker.tally import Tally


@dataclass(frozen=True)
class Computed:
    """A batch, the features of each tap [N, ...row], and the seconds that its lane was busy."""

    batch: Batch
    features: list[npt.NDArray[np.float32]]
    seconds: float


def computed(
    engine: Engine, batches: Iterator[Batch], taps: Sequence[Tap], tally: Tally
) -> Generator[Computed]:
    """Features of these batches, in their order.

    Each of the engine's lanes works on a batch and one more waits for it, so that nothing stands
    still while the caller writes. Where the caller's thread waits is noted in ``tally``: that
    tells what limits the job.
    """
    lanes = ThreadPoolExecutor(engine.lanes, thread_name_prefix="compute")
    running: deque[Future[Computed]] = deque()
    more, failure = True, None
    try:
        while more or running:
            while more and len(running) <= engine.lanes:
                try:
                    with tally.waiting("decode"):
                        batch = next(batches)
                    running.append(lanes.submit(_compute, engine, batch, taps))
                except StopIteration:
                    more = False
                except Exception as error:  # batches before it are good: they come first
                    more, failure = False, error
            if running:
                with tally.waiting("compute"):
                    done = running.popleft().result()
                yield done
        if failure:
            raise failure
    finally:
        lanes.shutdown(wait=True, cancel_futures=True)


def features(
    context: Context,
    reader: ImageReader,
    recipe: Recipe,
    taps: Sequence[Tap],
    engine: Engine,
    tally: Tally,
    portions: Iterable[Rows],
) -> Generator[Computed]:
    """Rows → batches of images → each tap's features, in order, while the caller writes."""
    images = batches(
        reader,
        recipe.transform,
        portions,
        rows=tally.to_compute,
        size=engine.batch,
        threads=context.threads,
        resize_later=context.devices[0].type == "cuda",
    )
    with closing(images), closing(computed(engine, images, taps, tally)) as found:
        yield from found


def _compute(engine: Engine, batch: Batch, taps: Sequence[Tap]) -> Computed:
    began = time.perf_counter()
    outputs = engine.run(batch.images)
    found = [pool(outputs[tap.layer], tap.pool).cpu().numpy() for tap in taps]
    features = [_with_rows(each, len(batch.row_N)) for each in found]
    return Computed(batch, features, time.perf_counter() - began)


def _with_rows(features: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.float32]:
    """With zeros for undecodable images at the end, of which the engine knows nothing."""
    if len(features) == count:
        return features
    full = np.zeros((count, *features.shape[1:]), features.dtype)
    full[: len(features)] = features
    return full
