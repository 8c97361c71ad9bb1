"""What every engine is, and what it is made for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from cache.recipe import Compute, Transform

SMALL_JOB = 256
"""Images below which nothing is measured."""


@dataclass(frozen=True)
class EngineTask:
    """What an engine is to compute: a network's layers, over the images of one dataset."""

    network: str
    layers: tuple[str, ...]
    transform: Transform
    compute: Compute
    rows: int

    @property
    def is_small(self) -> bool:
        """Whether choosing an engine by measurement would cost more than it saves.

        The dataset's size decides and not what is missing of it, so that a job that goes on takes
        the engine that it began with.
        """
        return self.rows < SMALL_JOB


class Engine(Protocol):
    """Runs images through a network and gives each tapped layer's output.

    A row's bits depend neither on its place in a batch nor on its neighbours: every call of the
    network has the same shape, and what is missing of it is zeros. ``batch`` is how many images
    are best given at a time; ``lanes`` is how many threads may call :meth:`run` at once, and are
    needed to keep the engine busy.
    """

    name: str
    batch: int
    lanes: int

    def run(self, images: Tensor) -> dict[str, Tensor]:
        """Layer name → output of N rows, on any device, from N images on the CPU.

        ``images`` has the form that :func:`worker.pixels.transforms.prepare` gives.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        ...
