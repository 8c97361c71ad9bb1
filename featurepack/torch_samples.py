"""The same rows as tensors; the one place of the client that imports torch, when it is asked to."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from featurepack.samples import Samples


class TorchSamples(Samples, Dataset[tuple[torch.Tensor, int]]):
    """:class:`Samples` of tensors, as PyTorch's own datasets are."""

    @staticmethod
    def _as_given(values: npt.NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(values)
