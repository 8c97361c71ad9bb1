"""Labels of train that look wrong: rows that a head which did not learn from them contradicts.

Confident learning (Northcutt et al. 2021): a row is suspect if it is more probably of another class
than of its own, and as probably as rows labelled so are on average. The probabilities are those of
``linear`` at one strength, from three folds that keep groups together, whatever the head's method.
Shapes: N rows, K classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from worker.heads.linear import solve
from worker.heads.matrix import Standard
from worker.heads.method import Present, Run
from worker.heads.metrics import mistake
from worker.heads.rows import Rows
from worker.heads.splitting import folds_of, groups_of

FOLDS = 3
L2 = 300.0
"""Where ``linear`` is best on 1,000 rows of several networks, within a factor of three."""
TOLERANCE = 1e-3
ROWS = 10_000
"""Of train at most that are looked at, drawn at random: the cost is bounded."""
SHOWN = 20


def label_suspects(train: Rows, run: Run) -> dict[str, Any]:
    """How many rows were looked at, how many labels are suspect, and the surest of them."""
    if len(train) > ROWS:
        train = train.take(np.random.default_rng(0).choice(len(train), ROWS, replace=False))
    probability_NK = _left_out(train, run)
    looked_N = probability_NK.sum(axis=1) > 0
    label_N, row_N = train.label_N, np.arange(len(train))
    count_K = np.bincount(label_N[looked_N], minlength=len(train.classes))
    own_N = probability_NK[row_N, label_N]
    usual_K = np.bincount(label_N[looked_N], own_N[looked_N], len(train.classes)) / np.maximum(
        count_K, 1
    )
    confident_NK = (probability_NK >= usual_K) & (count_K > 0)
    other_N = np.where(confident_NK, probability_NK, -1).argmax(axis=1)
    beyond_N = np.where(
        confident_NK.any(axis=1) & looked_N, probability_NK[row_N, other_N] - own_N, -1
    )
    suspects = np.flatnonzero((other_N != label_N) & (beyond_N > 0))
    surest = suspects[np.argsort(-beyond_N[suspects], kind="stable")[:SHOWN]]
    return {
        "rows": int(looked_N.sum()),
        "suspects": len(suspects),
        "surest": [
            mistake(train, place, int(other_N[place]), probability_NK[place]) for place in surest
        ],
    }


def _left_out(train: Rows, run: Run) -> Any:
    """Probabilities [N, K] by a head of the other folds; zeros where it did not know the class."""
    fold_N = folds_of(train.label_N, groups_of(train), FOLDS, seed=0)
    probability_NK = np.zeros((len(train), len(train.classes)), np.float32)
    for fold in range(FOLDS):
        fitted = train.take(np.flatnonzero(fold_N != fold))
        present = Present.of(fitted)
        held = np.flatnonzero((fold_N == fold) & np.isin(train.label_N, present.class_L))
        if len(present) < 2 or not len(held):
            continue
        standard = Standard.of(fitted)
        progress = {"phase": "label noise"}
        ((weight_LD, bias_L),) = solve(fitted, present, standard, [L2], TOLERANCE, run, progress)
        for chosen, features_BD in train.take(held).blocks():
            features = torch.from_numpy(standard.apply(features_BD)).to(run.device)
            found = torch.softmax(torch.addmm(bias_L, features, weight_LD.T), 1).cpu().numpy()
            probability_NK[np.ix_(held[chosen], present.class_L)] = found
    return probability_NK
