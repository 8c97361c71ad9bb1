"""What every method is given and gives back.

Shapes: N rows, D values in a row, K classes of the pack, L ≤ K of them that the rows have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worker.heads.file import Floats, Head, LinearHead
from worker.heads.matrix import Standard
from worker.heads.rows import Rows

ABSENT = -1e4
"""The logit of a class that no row has: its probability is 0, and no other is touched."""


@dataclass(frozen=True)
class Run:
    """How to train. ``tell`` hears the progress, and may raise to end it.

    ``watched`` are rows on which methods with epochs show how they get on; no method learns or
    chooses from them.
    """

    device: torch.device
    tell: Callable[[dict[str, Any]], None]
    watched: Rows | None = None


@dataclass(frozen=True)
class Trained:
    """A head, and what its training alone can tell: ``curves``, or ``sweep`` and ``chosen``."""

    head: Head
    story: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Present:
    """The classes that rows have, counted from 0, for solvers that know no others."""

    class_L: npt.NDArray[np.int64]
    label_N: npt.NDArray[np.int64]
    """Of each row, as an index of ``class_L``."""

    @classmethod
    def of(cls, rows: Rows) -> Present:
        return cls(*np.unique(rows.label_N, return_inverse=True))

    def __len__(self) -> int:
        return len(self.class_L)

    def linear_head(
        self,
        rows: Rows,
        standard: Standard,
        weight_DL: npt.NDArray[Any],
        bias_L: npt.NDArray[Any],
    ) -> LinearHead:
        """A head for all classes on raw features, of weights for these on standardised ones."""
        weight, bias = standard.fold(weight_DL.astype(np.float64), bias_L.astype(np.float64))
        weight_DK = np.zeros((rows.width, len(rows.classes)), np.float32)
        bias_K = np.full(len(rows.classes), ABSENT, np.float32)
        weight_DK[:, self.class_L], bias_K[self.class_L] = weight, bias
        return LinearHead(weight_DK, bias_K, rows.classes)


def temperature(score_NL: Floats, label_N: npt.NDArray[np.int64]) -> float:
    """The factor that makes softmax(factor · score) most likely (Guo et al. 2017, section 4.2).

    The scores must be of rows that they were not fitted to. Bisection on the slope, which rises.
    """
    score_NL = (score_NL - score_NL.max(axis=1, keepdims=True)).astype(np.float64)
    of_label = score_NL[np.arange(len(label_N)), label_N].mean()
    low, high = 1e-6, 1e6
    for _ in range(50):
        factor = (low * high) ** 0.5
        exponent_NL = np.exp(factor * score_NL)
        mean = ((exponent_NL * score_NL).sum(axis=1) / exponent_NL.sum(axis=1)).mean()
        low, high = (low, factor) if mean > of_label else (factor, high)
    return float(factor)
