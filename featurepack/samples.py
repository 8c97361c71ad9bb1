"""Rows of a pack that is here, one by one or by batches: what PyTorch calls a map-style dataset.

Shapes: N rows, B of a batch, D values in a row.
"""

from __future__ import annotations

import importlib.util
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.errors import NotFound
from featurepack.local.layout import Layout
from featurepack.local.mapped import Mapped
from featurepack.selection import Chosen


class Batch(list[tuple[Any, Any]]):
    """Pairs of a row's features and label, which :meth:`Samples.collate` need not stack again."""

    features: Any
    labels: Any


class Samples:
    """N pairs of a row's features and its label, read from the pack where it lies.

    ``samples[i]`` is one pair: features [D] or [C, H, W], and the label as a number. Batches are
    gathered at once, by ``DataLoader(samples, batch_size=256, shuffle=True)`` as it is, and
    without a second copy with ``collate_fn=samples.collate``. Where torch is installed they are
    tensors, and this is a ``torch.utils.data.Dataset``; else arrays. All are copies, which may be
    written to. It may be pickled, and used by workers that are forked or spawned: only the name of
    the file travels, each process maps it by itself.
    """

    def __init__(self, mapped: Mapped, chosen: Chosen) -> None:
        self._mapped = mapped
        self._chosen = chosen
        self._features = mapped.features.view(np.ndarray)[_viewed(chosen)]
        self._labels_N = mapped.labels_N.view(np.ndarray)[chosen]

    def __len__(self) -> int:
        return len(self._labels_N)

    def __getitem__(self, place: int) -> tuple[Any, Any]:
        """One pair. Raises IndexError."""
        at = operator.index(place)
        if not -len(self) <= at < len(self):
            raise IndexError(f"row {at} of {len(self)}")
        at %= len(self)
        return self._as_given(self._features[self._row(at)].copy()), int(self._labels_N[at])

    def __getitems__(self, places: Sequence[int]) -> Batch:
        """Pairs by their places, as parts of one array each. Raises IndexError."""
        places_B = np.asarray(places, np.int64)
        rows_B = self._chosen[places_B] if isinstance(self._chosen, np.ndarray) else places_B
        features = self._as_given(self._features.take(rows_B, axis=0))
        labels_B = self._labels_N.take(places_B)
        labels = self._as_given(labels_B)
        batch = Batch(zip(features, labels_B.tolist(), strict=True))
        batch.features, batch.labels = features, labels
        return batch

    @staticmethod
    def collate(batch: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Features [B, ...] and labels [B] int64 of a batch that ``__getitems__`` gave."""
        assert isinstance(batch, Batch)
        return batch.features, batch.labels

    @property
    def labels_N(self) -> npt.NDArray[np.int64]:
        """The labels of all rows."""
        return self._labels_N

    def _row(self, place: int) -> int:
        return int(self._chosen[place]) if isinstance(self._chosen, np.ndarray) else place

    @staticmethod
    def _as_given(values: npt.NDArray[Any]) -> Any:
        return values

    def __getstate__(self) -> tuple[Path, Layout, Chosen]:
        return self._mapped.path, self._mapped.layout, self._chosen

    def __setstate__(self, state: tuple[Path, Layout, Chosen]) -> None:
        path, layout, chosen = state
        try:
            mapped = Mapped.open(path, layout)
        except FileNotFoundError as error:
            raise NotFound(
                f"{path} is no longer in the local cache",
                value=str(path),
                remedy="ask the client for the dataset again, and keep it while it is used",
            ) from error
        Samples.__init__(self, mapped, chosen)


def _viewed(chosen: Chosen) -> slice:
    """Rows that are listed are looked up one by one, not copied beforehand."""
    return chosen if isinstance(chosen, slice) else slice(None)


def samples_of(mapped: Mapped, chosen: Chosen) -> Samples:
    """The rows as tensors where torch is installed, else as arrays."""
    if importlib.util.find_spec("torch") is None:
        return Samples(mapped, chosen)
    from featurepack.torch_samples import TorchSamples

    return TorchSamples(mapped, chosen)
