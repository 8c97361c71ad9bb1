"""Standardised rows of a pack as a matrix that can be multiplied, in memory or read in blocks.

Shapes: N rows, B rows of a block, D values in a row, M columns of what it is multiplied with.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.heads.file import Floats
from worker.heads.rows import MEMORY_BYTES, Rows


@dataclass(frozen=True)
class Standard:
    """(features - mean) / scale: of each column the mean is 0, and the variance 1 unless it is 0.

    The same as scikit-learn's ``StandardScaler``.
    """

    mean_D: npt.NDArray[np.float64]
    scale_D: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: Rows) -> Standard:
        """In one pass, in float64, blocks joined as in Chan et al. 1983."""
        count, mean_D, squares_D = 0, np.zeros(rows.width), np.zeros(rows.width)
        for _, features_BD in rows.blocks():
            block_mean_D = features_BD.mean(axis=0, dtype=np.float64)
            centred_BD = features_BD - block_mean_D.astype(np.float32)
            off_D = centred_BD.mean(axis=0, dtype=np.float64)  # what float32 rounded away
            block_squares_D = np.einsum("bd,bd->d", centred_BD, centred_BD) - len(
                features_BD
            ) * np.square(off_D)
            both, apart_D = count + len(features_BD), block_mean_D - mean_D
            squares_D += block_squares_D + np.square(apart_D) * count * len(features_BD) / both
            mean_D += apart_D * len(features_BD) / both
            count = both
        scale_D = np.sqrt(np.maximum(squares_D, 0) / count)
        constant_D = scale_D <= 1e-6 * np.abs(mean_D)  # no more than float32's rounding
        return cls(mean_D, np.where(constant_D | (scale_D == 0), 1.0, scale_D))

    def apply(self, features_ND: Floats) -> Floats:
        """float32 [N, D] → float32 [N, D], in place."""
        features_ND -= self.mean_D.astype(np.float32)
        features_ND *= (1 / self.scale_D).astype(np.float32)
        return features_ND

    def fold(
        self, weight_DM: npt.NDArray[np.float64], bias_M: npt.NDArray[np.float64]
    ) -> tuple[Floats, Floats]:
        """The weight and bias that do on raw features what these do on standardised ones."""
        raw_DM = weight_DM / self.scale_D[:, None]
        return raw_DM.astype(np.float32), (bias_M - self.mean_D @ raw_DM).astype(np.float32)


class Matrix:
    """float32 [N, D] on a device: kept there if it is at most 4 GiB, else read for each product."""

    def __init__(self, rows: Rows, standard: Standard, device: torch.device) -> None:
        self.rows, self.width, self.device = len(rows), rows.width, device
        self._rows, self._standard = rows, standard
        self._kept: list[tuple[slice, Tensor]] | None = None
        if rows.float32_bytes <= MEMORY_BYTES:
            features_ND = torch.from_numpy(standard.apply(rows.load())).to(device)
            self._kept = [(slice(0, self.rows), features_ND)]

    def narrowed(self) -> tuple[Matrix, Tensor | None]:
        """If it is twice as wide as high or more: [N, N], and the basis [D, N] it is turned by.

        A regression with L2 has its weights in the span of the rows, so that it loses nothing.
        """
        if self._kept is None or self.width < 2 * self.rows:
            return self, None
        basis_DN, corner_NN = torch.linalg.qr(self._kept[0][1].T)
        narrow = copy.copy(self)
        narrow.width, narrow._kept = self.rows, [(slice(0, self.rows), corner_NN.T.contiguous())]
        return narrow, basis_DN

    def blocks(self) -> Iterator[tuple[slice, Tensor]]:
        if self._kept is not None:
            yield from self._kept
            return
        for chosen, features_BD in self._rows.blocks():
            yield chosen, torch.from_numpy(self._standard.apply(features_BD)).to(self.device)

    def times(self, right_DM: Tensor) -> Tensor:
        """float32 [D, M] → [N, M].

        Computed as its transpose, which is up to twice as fast for narrow matrices on CPUs.
        """
        right_MD = right_DM.T.contiguous()
        product_NM = torch.empty(self.rows, right_DM.shape[1], device=self.device)
        for chosen, features_BD in self.blocks():
            product_NM[chosen] = (right_MD @ features_BD.T).T
        return product_NM

    def back(self, right_NM: Tensor) -> Tensor:
        """float32 [N, M] → [D, M]: the product of the transposed."""
        product_DM = torch.zeros(self.width, right_NM.shape[1], device=self.device)
        for chosen, features_BD in self.blocks():
            product_DM.addmm_(features_BD.T, right_NM[chosen])
        return product_DM

    @cached_property
    def variance(self) -> Tensor:
        """The sum over all columns."""
        total = torch.zeros((), device=self.device)
        for _, features_BD in self.blocks():
            total += features_BD.square().sum()
        return total / self.rows
