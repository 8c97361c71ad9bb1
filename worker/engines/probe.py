"""Trying engines out: do they keep the bound, and how fast are they?

Shapes: N images, D values in a row.
"""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from worker.engines.engine import Engine, EngineTask
from worker.networks import run
from worker.pixels.transforms import empty_images, normalise

log = logging.getLogger("featurepack.worker")

IMAGES = 4
FLOAT32_BOUND = 2e-5
"""A fifth of what a recipe allows: the images of a dataset may be harder than these."""
FAST_COSINE = 0.995
TINY = torch.finfo(torch.float32).tiny
ROUNDS = 3
ROUND_SECONDS = 0.3
LONG_SECONDS = 10.0
HOPELESS = 0.5
"""Of the best rate: noise does not double it."""


class Probe:
    """A few images of noise, and what the plain network makes of them one at a time."""

    def __init__(self, network: nn.Module, task: EngineTask) -> None:
        """``network`` is eager float32 on the CPU, as it was built."""
        self._task = task
        noise = torch.Generator().manual_seed(0)
        pixels_NhwC = torch.randint(
            0, 256, (IMAGES, *task.transform.output_HW, 3), dtype=torch.uint8, generator=noise
        )
        images_NCHW = normalise(pixels_NhwC, task.transform)
        self._images = pixels_NhwC if _takes_pixels(task) else images_NCHW
        self._expected = [run(network, image[None]) for image in images_NCHW]

    def holds(self, engine: Engine) -> bool:
        """Whether the engine's rows are close enough to the plain network's."""
        try:
            outputs = engine.run(self._images)
        except RuntimeError as error:
            log.info("%s does not run %s: %s", engine.name, self._task.network, error)
            return False
        return all(
            self._close(outputs[layer].float(), torch.cat([one[layer] for one in self._expected]))
            for layer in self._task.layers
        )

    def _close(self, rows: Tensor, expected: Tensor) -> bool:
        if rows.shape != expected.shape or not rows.isfinite().all():
            return False
        scale_N = expected.flatten(1).abs().amax(1, keepdim=True).clamp_min(TINY)
        rows_ND, expected_ND = rows.flatten(1) / scale_N, expected.flatten(1) / scale_N
        if self._task.compute == "fast":
            return bool((torch.cosine_similarity(rows_ND, expected_ND) >= FAST_COSINE).all())
        return bool(((rows_ND - expected_ND).abs() <= FLOAT32_BOUND).all())

    def images_per_second(self, engines: Sequence[Engine]) -> dict[str, float]:
        """The median rate of each, measured by turns with all of its lanes busy.

        Those that are far behind after a turn are not measured again.
        """
        found: dict[str, list[float]] = {engine.name: [] for engine in engines}
        began = time.perf_counter()
        for _ in range(ROUNDS):
            for engine in engines:
                found[engine.name].append(self._rate(engine))
            best = max(rates[0] for rates in found.values())
            engines = [one for one in engines if found[one.name][0] > best * HOPELESS]
            if len(engines) == 1 or time.perf_counter() - began > LONG_SECONDS:
                break
        return {name: round(statistics.median(rates), 2) for name, rates in found.items()}

    def _rate(self, engine: Engine) -> float:
        count = min(engine.batch, 8 * IMAGES)
        images = self._images.repeat(count // IMAGES, *[1] * (self._images.dim() - 1))
        done, began = 0, time.perf_counter()
        with ThreadPoolExecutor(engine.lanes) as lanes:
            while not done or time.perf_counter() - began < ROUND_SECONDS:
                list(lanes.map(engine.run, [images] * engine.lanes))
                done += len(images) * engine.lanes
        return done / (time.perf_counter() - began)


def _takes_pixels(task: EngineTask) -> bool:
    return empty_images(0, task.transform).dtype == torch.uint8
