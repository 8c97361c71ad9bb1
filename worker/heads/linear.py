"""``linear``: softmax regression on standardised features, its L2 strength chosen within train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cache.errors import TooLarge
from worker.heads.matrix import Matrix, Standard
from worker.heads.method import Present, Run, Trained
from worker.heads.rows import Rows
from worker.heads.softmax import SoftmaxRegression, preconditioner
from worker.heads.splitting import folds_of, groups_of

STRENGTHS = tuple(float(f"{l2:.4g}") for l2 in np.logspace(0.5, 4, 20))
FOLDS, HELD_OUT = 2, 1000
"""Each strength is fitted to one half of train and scored on the other, and the reverse if that is
fewer rows than this: strengths differ by chance on a few hundred. On the labs' CIFAR-10 (1,000
rows, six seeds) two halves chose as well as four fifths, at a third of the cost; one fifth lost up
to 1 % of validation accuracy."""
LOGITS = 1 << 28
"""Rows × classes at most: some arrays of that size, 1 GiB each, are needed."""


Layer = tuple[Tensor, Tensor]
"""weight_LD and bias_L, on standardised features."""


@dataclass(frozen=True)
class LinearParams:
    """``l2`` is scikit-learn's 1 / C: the weight of |W|² / 2 against the sum of the losses.

    Several are a sweep. ``tolerance`` is the largest slope at which one of the sweep is solved; the
    head itself is solved until its loss is within 2e-5 of the least. ``seed`` is of the halves.
    """

    l2: float | tuple[float, ...] = STRENGTHS
    tolerance: float = 1e-4
    seed: int = 0


def train_linear(rows: Rows, params: LinearParams, run: Run) -> Trained:
    """Sweep, choose by the accuracy on rows held out of ``rows``, fit again on all of them.

    Streams beyond 4 GiB of features, which are then read once for each step.

    Raises:
        TooLarge: rows × classes is beyond 2^28.
    """
    present = Present.of(rows)
    if len(rows) * len(present) > LOGITS:
        raise TooLarge(
            f"{len(rows)} rows × {len(present)} classes are too many for linear",
            value=len(rows) * len(present),
            remedy="use lab or ridge, or a view with fewer rows per class",
        )
    strengths = params.l2 if isinstance(params.l2, tuple) else (params.l2,)
    story: dict[str, Any] = {}
    l2 = strengths[0]
    if len(strengths) > 1:
        story["sweep"] = sweep(rows, strengths, params, run)
        best = max(story["sweep"], key=lambda one: (one["accuracy"], -one["loss"]))
        l2 = best["l2"]
        ends = (min(strengths), max(strengths))
        story["chosen"] = {"l2": l2, "at_the_end_of_the_sweep": l2 in ends}
    standard = Standard.of(rows)
    ((weight_LD, bias_L),) = solve(rows, present, standard, [l2], None, run, {"phase": "training"})
    weight_DL = weight_LD.T.cpu().numpy()
    return Trained(present.linear_head(rows, standard, weight_DL, bias_L.cpu().numpy()), story)


def solve(
    rows: Rows,
    present: Present,
    standard: Standard,
    l2: Sequence[float],
    tolerance: float | None,
    run: Run,
    progress: dict[str, Any],
) -> list[Layer]:
    """Weight [L, D] and bias [L] on standardised features, for each strength."""
    features, basis_DN = Matrix(rows, standard, run.device).narrowed()
    label_N = torch.from_numpy(present.label_N).to(run.device)
    problem = SoftmaxRegression(features, label_N, len(present), preconditioner(features))
    # For two classes scikit-learn fits one weight vector w, ours are -w / 2 and w / 2; it has
    # l2 / 2 · |w|² for it, and twice ours is the same.
    factor = 2 if len(present) == 2 else 1
    found = problem.path([factor * one for one in l2], tolerance, lambda: run.tell(progress))
    return [
        (one.weight_KD if basis_DN is None else one.weight_KD @ basis_DN.T, one.bias_K)
        for one in found
    ]


def sweep(
    rows: Rows, strengths: tuple[float, ...], params: LinearParams, run: Run
) -> list[dict[str, float]]:
    """Accuracy and mean loss of each strength on rows held out, group by group and stratified."""
    fold_N = folds_of(rows.label_N, groups_of(rows), FOLDS, params.seed)
    right_S, loss_S, count = np.zeros(len(strengths)), np.zeros(len(strengths)), 0
    for fold in range(FOLDS):
        fitted, held = rows.take(np.flatnonzero(fold_N != fold)), fold_N == fold
        present = Present.of(fitted)
        known = held & np.isin(rows.label_N, present.class_L)
        if len(present) < 2 or not known.any():
            continue
        standard = Standard.of(fitted)
        progress = {"phase": "sweep", "fold": fold + 1}
        found = solve(fitted, present, standard, strengths, params.tolerance, run, progress)
        right, loss = _held_out(rows.take(np.flatnonzero(known)), present, standard, found, run)
        right_S, loss_S, count = right_S + right, loss_S + loss, count + int(known.sum())
        if count >= HELD_OUT:
            break
    return [
        {"l2": l2, "accuracy": float(right / max(1, count)), "loss": float(loss / max(1, count))}
        for l2, right, loss in zip(strengths, right_S, loss_S, strict=True)
    ]


def _held_out(
    held: Rows, present: Present, standard: Standard, found: list[Layer], run: Run
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Right predictions and summed loss [S] of each solution."""
    right_S, loss_S = np.zeros(len(found)), np.zeros(len(found))
    for chosen, features_BD in held.blocks():
        features = torch.from_numpy(standard.apply(features_BD)).to(run.device)
        label_B = torch.from_numpy(np.searchsorted(present.class_L, held.label_N[chosen])).to(
            run.device
        )
        for number, (weight_LD, bias_L) in enumerate(found):
            logits_BL = torch.addmm(bias_L, features, weight_LD.T)
            right_S[number] += int((logits_BL.argmax(1) == label_B).sum())
            loss_S[number] += float(
                torch.nn.functional.cross_entropy(logits_BL, label_B, reduction="sum")
            )
    return right_S, loss_S
