"""``mlp``: hidden layers with ReLU and dropout, as the labs' 1,024-1,024."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from worker.heads.file import MlpHead
from worker.heads.gradient import Epochs, glorot, train_layers
from worker.heads.matrix import Standard
from worker.heads.method import Run, Trained
from worker.heads.rows import Rows


@dataclass(frozen=True)
class MlpParams:
    """``hidden`` are the widths of the hidden layers, ``dropout`` is after each of them."""

    hidden: tuple[int, ...] = (1024, 1024)
    dropout: float = 0.5
    epochs: int = 30
    batch: int = 256
    rate: float = 1e-3
    seed: int = 0


def train_mlp(rows: Rows, params: MlpParams, run: Run) -> Trained:
    """On standardised features. Deterministic for equal rows, parameters and versions. Streams."""
    generator = torch.Generator().manual_seed(params.seed)
    standard = Standard.of(rows)
    widths = (rows.width, *params.hidden, len(rows.classes))
    layers = [
        glorot(inputs, outputs, generator, run.device) for inputs, outputs in pairwise(widths)
    ]
    how = Epochs(params.epochs, params.batch, params.rate, params.dropout)
    curves = train_layers(layers, rows, standard, how, generator, run)
    plain = [
        (weight_OI.detach().cpu().numpy().T.copy(), bias_O.detach().cpu().numpy())
        for weight_OI, bias_O in layers
    ]
    plain[0] = standard.fold(plain[0][0].astype(np.float64), plain[0][1].astype(np.float64))
    return Trained(MlpHead(tuple(plain), rows.classes), {"curves": curves})
