"""Training a head on a pack: softmax regression by the labs' recipe.

The recipe is the one that Keras users know from the transfer-learning labs: one dense softmax
layer on the flattened features, Glorot-uniform start, zero bias, Adam with Keras's defaults
(rate 0.001, betas 0.9 and 0.999, epsilon 1e-7), 50 epochs of shuffled batches of 256.

Shapes: N rows, D values in a row, K classes, B rows of a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from cache.errors import InvalidRequest
from cache.pack import Pack

ADAM_EPSILON = 1e-7
EVALUATION_ROWS = 8192

Layer = tuple[Tensor, Tensor]
"""weight_KD and bias_K. No ``nn.Module``: those must not run while a network is being traced."""


@dataclass(frozen=True)
class LabParams:
    """The settings of the labs' recipe."""

    epochs: int = 50
    batch: int = 256
    rate: float = 1e-3
    seed: int = 0


@dataclass(frozen=True)
class TrainedHead:
    """``weight_DK`` and ``bias_K`` (float32), and what training showed."""

    weight_DK: npt.NDArray[np.float32]
    bias_K: npt.NDArray[np.float32]
    metrics: dict[str, Any]


def train_lab(
    pack: Pack,
    train: str,
    validation: str | None,
    params: LabParams,
    tell: Callable[[int], None],
) -> TrainedHead:
    """Train on one split, look at another after every epoch; ``tell`` hears the epoch's number.

    Deterministic for equal packs, parameters and versions. Undecodable and unlabelled rows are
    left out. Rows are read from the memory map batch by batch.

    Raises:
        InvalidRequest: fewer than two classes, or no usable row in a split.
    """
    began = time.perf_counter()
    rows_N = usable_rows(pack, train)
    held_out_N = usable_rows(pack, validation) if validation else None
    classes = len(pack.classes)
    if len(np.unique(pack.labels_N[rows_N])) < 2:
        raise InvalidRequest(
            f"split {train!r} has rows of fewer than two classes",
            value=train,
            remedy="train on a split with at least two classes",
        )
    generator = torch.Generator().manual_seed(params.seed)
    layer = _glorot_layer(int(np.prod(pack.features.shape[1:])), classes, generator)
    adam = torch.optim.Adam(layer, lr=params.rate, eps=ADAM_EPSILON)
    curves: list[dict[str, float]] = []
    for epoch in range(params.epochs):
        order = torch.randperm(len(rows_N), generator=generator).numpy()
        for first in range(0, len(rows_N), params.batch):
            features_BD, labels_B = _rows(
                pack, np.sort(rows_N[order[first : first + params.batch]])
            )
            loss = cross_entropy(_logits(layer, features_BD), labels_B)
            adam.zero_grad()
            torch.autograd.backward(loss)
            adam.step()
        curves.append(_scores(layer, pack, rows_N, held_out_N) | {"epoch": epoch + 1})
        tell(epoch + 1)
    return TrainedHead(
        weight_DK=layer[0].detach().numpy().T.copy(),
        bias_K=layer[1].detach().numpy().copy(),
        metrics={
            **{name: value for name, value in curves[-1].items() if name != "epoch"},
            "train_rows": len(rows_N),
            "validation_rows": 0 if held_out_N is None else len(held_out_N),
            "seconds": round(time.perf_counter() - began, 4),
            "curves": curves,
        },
    )


def usable_rows(pack: Pack, split: str) -> npt.NDArray[np.int64]:
    """Rows of a split that were decoded and have a label. Raises InvalidRequest if none."""
    start, stop = pack.splits[split]
    rows_N = np.arange(start, stop)
    rows_N = rows_N[pack.valid_N[rows_N] & (pack.labels_N[rows_N] >= 0)]
    if not len(rows_N):
        raise InvalidRequest(
            f"split {split!r} has no decoded row with a label",
            value=split,
            remedy="use a split with labelled images",
        )
    return rows_N


def _glorot_layer(inputs: int, classes: int, generator: torch.Generator) -> Layer:
    """Glorot and Bengio 2010, equation 16: uniform within ±sqrt(6 / (inputs + classes))."""
    limit = (6.0 / (inputs + classes)) ** 0.5
    weight_KD = torch.empty(classes, inputs).uniform_(-limit, limit, generator=generator)
    return weight_KD.requires_grad_(), torch.zeros(classes, requires_grad=True)


def _logits(layer: Layer, features_BD: Tensor) -> Tensor:
    weight_KD, bias_K = layer
    return features_BD @ weight_KD.T + bias_K


def _rows(pack: Pack, rows_B: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    features = np.asarray(pack.features[rows_B], dtype=np.float32).reshape(len(rows_B), -1)
    return torch.from_numpy(features), torch.from_numpy(pack.labels_N[rows_B])


def _scores(
    layer: Layer,
    pack: Pack,
    train_N: npt.NDArray[np.int64],
    validation_N: npt.NDArray[np.int64] | None,
) -> dict[str, float]:
    loss, accuracy = evaluate(layer, pack, train_N)
    scores = {"train_loss": loss, "train_accuracy": accuracy}
    if validation_N is not None:
        loss, accuracy = evaluate(layer, pack, validation_N)
        scores |= {"validation_loss": loss, "validation_accuracy": accuracy}
    return scores


@torch.inference_mode()
def evaluate(layer: Layer, pack: Pack, rows_N: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over rows."""
    loss, right = 0.0, 0
    for first in range(0, len(rows_N), EVALUATION_ROWS):
        features_BD, labels_B = _rows(pack, rows_N[first : first + EVALUATION_ROWS])
        logits_BK = _logits(layer, features_BD)
        loss += float(cross_entropy(logits_BK, labels_B, reduction="sum"))
        right += int((logits_BK.argmax(dim=1) == labels_B).sum())
    return loss / len(rows_N), right / len(rows_N)
