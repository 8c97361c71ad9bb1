"""Probabilities → the most probable classes, as they are answered. Shapes: K classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def most_probable(
    probability_K: npt.NDArray[np.float32], classes: Sequence[str], top: int
) -> list[dict[str, Any]]:
    """The best first, of equal ones the lower number."""
    best = (-probability_K).argsort(kind="stable")[:top]
    return [
        {
            "class": classes[k],
            "index": int(k),
            "probability": round(float(probability_K[k]), 6),
        }
        for k in best
    ]
