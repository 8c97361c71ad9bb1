"""``lab``: softmax regression by the labs' recipe.

The recipe is the one that Keras users know from the transfer-learning labs: one dense softmax
layer on the flattened features as they are, Glorot-uniform start, zero bias, Adam with Keras's
defaults (rate 0.001, betas 0.9 and 0.999, epsilon 1e-7), 50 epochs of shuffled batches of 256.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from worker.heads.file import LinearHead
from worker.heads.gradient import Epochs, glorot, train_layers
from worker.heads.method import Run, Trained
from worker.heads.rows import Rows


@dataclass(frozen=True)
class LabParams:
    """The settings of the labs' recipe."""

    epochs: int = 50
    batch: int = 256
    rate: float = 1e-3
    seed: int = 0


def train_lab(rows: Rows, params: LabParams, run: Run) -> Trained:
    """Deterministic for equal rows, parameters and versions. Streams."""
    generator = torch.Generator().manual_seed(params.seed)
    layer = glorot(rows.width, len(rows.classes), generator, run.device)
    how = Epochs(params.epochs, params.batch, params.rate)
    curves = train_layers([layer], rows, None, how, generator, run)
    weight_KD, bias_K = (part.detach().cpu().numpy() for part in layer)
    return Trained(LinearHead(weight_KD.T.copy(), bias_K.copy(), rows.classes), {"curves": curves})
