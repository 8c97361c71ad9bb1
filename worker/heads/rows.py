"""The rows that a head learns from or is scored on, read from the pack's memory map in blocks.

Shapes: N rows, B rows of a block, D values in a row, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cache.errors import InvalidRequest, TooLarge
from cache.pack import Pack
from worker.heads.file import Floats, flat

BLOCK_BYTES = 64 << 20
MEMORY_BYTES = 4 << 30
"""A method that needs all of its rows at once takes this many bytes of them in float32."""


@dataclass(frozen=True)
class Rows:
    """Some decoded, labelled rows of a pack; ``row_N`` are their numbers in it, ascending."""

    pack: Pack
    row_N: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.row_N)

    @cached_property
    def label_N(self) -> npt.NDArray[np.int64]:
        return self.pack.labels_N[self.row_N]

    @property
    def classes(self) -> tuple[str, ...]:
        """All of the pack's, whether or not one of these rows has them."""
        return self.pack.classes

    @property
    def width(self) -> int:
        return int(np.prod(self.pack.features.shape[1:], dtype=np.int64))

    @property
    def float32_bytes(self) -> int:
        return 4 * len(self) * self.width

    def take(self, chosen_M: npt.NDArray[np.int64]) -> Rows:
        """Those of the rows at these places, in ascending order."""
        return Rows(self.pack, self.row_N[np.sort(chosen_M)])

    def read(self, chosen: slice | npt.NDArray[np.int64]) -> Floats:
        """float32 [B, D] of the rows at these places.

        Raises:
            InvalidRequest: a value is NaN or infinite.
        """
        row_B = self.row_N[chosen]
        features_BD = flat(self.pack.features[row_B])
        finite_B = np.isfinite(features_BD).all(axis=1)
        if not finite_B.all():
            row = int(row_B[~finite_B][0])
            raise InvalidRequest(
                f"row {row} ({self.pack.row_id_N[row]}) has features that are NaN or infinite",
                value=row,
                remedy="extract or import the pack again without such values; float16 overflows "
                "beyond 65,504, float32 does not",
            )
        return features_BD

    def spans(self) -> Iterator[slice]:
        """All of the rows, in pieces of no more than 64 MiB in float32."""
        step = max(1, BLOCK_BYTES // (4 * self.width))
        for first in range(0, len(self), step):
            yield slice(first, min(first + step, len(self)))

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Each of the spans with its float32 [B, D]."""
        for chosen in self.spans():
            yield chosen, self.read(chosen)

    def load(self) -> Floats:
        """float32 [N, D], all at once.

        Raises:
            TooLarge: that would be more than 4 GiB.
        """
        if self.float32_bytes > MEMORY_BYTES:
            raise TooLarge(
                f"{len(self)} rows of {self.width} values take more memory than this method may",
                value=self.float32_bytes,
                remedy="use lab, mlp, ridge, centroid or linear, which read in blocks; or pool the "
                "tap",
            )
        features_ND = np.empty((len(self), self.width), np.float32)
        for chosen, block_BD in self.blocks():
            features_ND[chosen] = block_BD
        return features_ND


def usable_rows(pack: Pack, split: str) -> Rows:
    """Rows of a split that were decoded and have a label. Raises InvalidRequest if none."""
    start, stop = pack.splits[split]
    row_N = np.arange(start, stop)
    row_N = row_N[pack.valid_N[row_N] & (pack.labels_N[row_N] >= 0)]
    if not len(row_N):
        raise InvalidRequest(
            f"split {split!r} has no decoded row with a label",
            value=split,
            remedy="use a split with labelled images",
        )
    return Rows(pack, row_N)


def check_classes(train: Rows, validation: Rows | None, split: str) -> None:
    """Whether there is something to learn, and to be scored on.

    Raises:
        InvalidRequest: ``split``, which is trained on, has rows of one class only, or lacks a
            class that validation has.
    """
    learned = np.unique(train.label_N)
    if len(learned) < 2:
        raise InvalidRequest(
            f"split {split!r} has rows of fewer than two classes",
            value=split,
            remedy="train on a split with at least two classes",
        )
    if validation is None:
        return
    unknown = np.setdiff1d(validation.label_N, learned)
    if len(unknown):
        names = ", ".join(repr(train.classes[k]) for k in unknown[:5])
        raise InvalidRequest(
            f"validation has rows of classes that split {split!r} lacks: {names}",
            value=[train.classes[k] for k in unknown],
            remedy="train on a split with every class, or set validation to null",
        )
