"""Dense layers trained by Adam on shuffled batches: what ``lab`` and ``mlp`` have in common.

Shapes: N rows, D values in a row, B rows of a batch, I inputs and O outputs of a layer, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from worker.heads.matrix import Standard
from worker.heads.method import Run
from worker.heads.rows import Rows

ADAM_EPSILON = 1e-7
"""Keras's."""

Layer = tuple[Tensor, Tensor]
"""weight_OI and bias_O. No ``nn.Module``: those must not run while a network is being traced."""


@dataclass(frozen=True)
class Epochs:
    """How long, in what batches and at what rate. ``dropout`` is after each hidden layer."""

    epochs: int
    batch: int
    rate: float
    dropout: float = 0.0


def glorot(inputs: int, outputs: int, generator: torch.Generator, device: torch.device) -> Layer:
    """Glorot and Bengio 2010, equation 16: uniform within ±sqrt(6 / (inputs + outputs))."""
    limit = (6.0 / (inputs + outputs)) ** 0.5
    weight_OI = torch.empty(outputs, inputs).uniform_(-limit, limit, generator=generator)
    return weight_OI.to(device).requires_grad_(), torch.zeros(
        outputs, device=device, requires_grad=True
    )


def train_layers(
    layers: list[Layer],
    rows: Rows,
    standard: Standard | None,
    how: Epochs,
    generator: torch.Generator,
    run: Run,
) -> list[dict[str, float]]:
    """Train the layers in place; what ``rows`` and the watched ones show after each epoch.

    Batches are read from the memory map. The same on each machine for equal generators, whose
    numbers are drawn on the CPU.
    """
    adam = torch.optim.Adam(
        [part for layer in layers for part in layer], lr=how.rate, eps=ADAM_EPSILON
    )
    curves: list[dict[str, float]] = []
    for epoch in range(1, how.epochs + 1):
        order_N = torch.randperm(len(rows), generator=generator).numpy()
        for first in range(0, len(rows), how.batch):
            chosen_B = np.sort(order_N[first : first + how.batch])
            features_BD, label_B = _batch(rows, chosen_B, standard, run.device)
            logits_BK = _forward(layers, features_BD, how.dropout, generator)
            adam.zero_grad()
            torch.autograd.backward(cross_entropy(logits_BK, label_B))
            adam.step()
        loss, accuracy = _evaluate(layers, rows, standard, run.device)
        point = {"epoch": epoch, "train_loss": loss, "train_accuracy": accuracy}
        if run.watched is not None:
            loss, accuracy = _evaluate(layers, run.watched, standard, run.device)
            point |= {"validation_loss": loss, "validation_accuracy": accuracy}
        curves.append(point)
        run.tell({"phase": "training", "epoch": epoch, "epochs": how.epochs})
    return curves


def _batch(
    rows: Rows, chosen: slice | np.ndarray, standard: Standard | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    features_BD = rows.read(chosen)
    if standard is not None:
        features_BD = standard.apply(features_BD)
    return (
        torch.from_numpy(features_BD).to(device),
        torch.from_numpy(rows.label_N[chosen]).to(device),
    )


def _forward(
    layers: list[Layer], hidden_BI: Tensor, dropout: float, generator: torch.Generator
) -> Tensor:
    """The logits, with a share of the hidden values dropped (Srivastava et al. 2014)."""
    for number, (weight_OI, bias_O) in enumerate(layers):
        if number:
            hidden_BI = hidden_BI.relu()
            if dropout:
                kept_BI = torch.rand(hidden_BI.shape, generator=generator) >= dropout
                hidden_BI = hidden_BI * kept_BI.to(hidden_BI.device) / (1 - dropout)
        hidden_BI = hidden_BI @ weight_OI.T + bias_O
    return hidden_BI


@torch.inference_mode()
def _evaluate(
    layers: list[Layer], rows: Rows, standard: Standard | None, device: torch.device
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over rows."""
    loss, right = 0.0, 0
    for chosen in rows.spans():
        features_BD, label_B = _batch(rows, chosen, standard, device)
        logits_BK = _forward(layers, features_BD, 0.0, torch.default_generator)
        loss += float(cross_entropy(logits_BK, label_B, reduction="sum"))
        right += int((logits_BK.argmax(dim=1) == label_B).sum())
    return loss / len(rows), right / len(rows)
