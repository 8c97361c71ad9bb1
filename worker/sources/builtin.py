"""Sets that come with a library and need no download."""

from __future__ import annotations

import numpy as np

from cache.errors import NotFound
from worker.sources.array_values import InMemory
from worker.sources.arrays import Part, source_of_parts
from worker.sources.source import IngestLimits, Source

DIGITS_MAX = 16
"""The brightest value in scikit-learn's digits."""


def open_builtin(name: str, limits: IngestLimits) -> Source:
    """``digits``: 1,797 grey images of 8 x 8, uint8 0..255, one split ``train``.

    Raises:
        NotFound: another name.
    """
    if name != "digits":
        raise NotFound(f"no built-in set {name!r}", value=name, remedy="use digits")
    from sklearn.datasets import load_digits  # takes a second, and most workers never need it

    found = load_digits()
    images_NHW = np.rint(found.images * 255 / DIGITS_MAX).astype(np.uint8)
    part = Part("train", InMemory(images_NHW), InMemory(found.target))
    return source_of_parts([part], tuple("0123456789"), limits)
