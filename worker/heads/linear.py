"""``linear``: softmax regression on standardised features, its L2 strength chosen within train."""

from __future__ import annotations

import math
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
    l2, half = strengths[0], None
    if len(strengths) > 1:
        story["sweep"], half = sweep(rows, strengths, params, run)
        best = max(story["sweep"], key=lambda one: (one["accuracy"], -one["loss"]))
        l2 = best["l2"]
        ends = (min(strengths), max(strengths))
        story["chosen"] = {"l2": l2, "at_the_end_of_the_sweep": l2 in ends}
    standard = Standard.of(rows)
    start = None if half is None else half.start(l2, present, standard)
    progress = {"phase": "training"}
    ((weight_LD, bias_L),) = solve(rows, present, standard, [l2], None, run, progress, start)
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
    start: Layer | None = None,
) -> list[Layer]:
    """Weight [L, D] and bias [L] on standardised features, for each strength."""
    features, basis_DN = Matrix(rows, standard, run.device).narrowed()
    if start is not None and basis_DN is not None:
        start = start[0] @ basis_DN, start[1]
    label_N = torch.from_numpy(present.label_N).to(run.device)
    problem = SoftmaxRegression(features, label_N, len(present), preconditioner(features))
    # For two classes scikit-learn fits one weight vector w, ours are -w / 2 and w / 2; it has
    # l2 / 2 · |w|² for it, and twice ours is the same.
    factor = 2 if len(present) == 2 else 1
    factored = [factor * one for one in l2]
    found = problem.path(factored, tolerance, lambda: run.tell(progress), start)
    return [
        (one.weight_KD if basis_DN is None else one.weight_KD @ basis_DN.T, one.bias_K)
        for one in found
    ]


@dataclass(frozen=True)
class Half:
    """What a sweep found on half of the rows: a layer for each strength."""

    present: Present
    standard: Standard
    layers: dict[float, Layer]

    def start(self, l2: float, present: Present, standard: Standard) -> Layer | None:
        """Where to begin on all rows: twice the rows at ``l2`` are as the half at half of it."""
        if len(self.present) != len(present):
            return None
        nearest = min(self.layers, key=lambda one: abs(math.log(2 * one / l2)))
        weight_LD, bias_L = self.layers[nearest]
        to = weight_LD.device
        scale_D = torch.from_numpy(standard.scale_D / self.standard.scale_D).float().to(to)
        moved_D = (standard.mean_D - self.standard.mean_D) / self.standard.scale_D
        return weight_LD * scale_D, bias_L + weight_LD @ torch.from_numpy(moved_D).float().to(to)


def sweep(
    rows: Rows, strengths: tuple[float, ...], params: LinearParams, run: Run
) -> tuple[list[dict[str, float]], Half | None]:
    """Accuracy and mean loss of each strength on rows held out, group by group and stratified.

    And what was found on the half that was fitted last.
    """
    fold_N = folds_of(rows.label_N, groups_of(rows), FOLDS, params.seed)
    right_S, loss_S, count = np.zeros(len(strengths)), np.zeros(len(strengths)), 0
    half = None
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
        half = Half(present, standard, dict(zip(strengths, found, strict=True)))
        right_S, loss_S, count = right_S + right, loss_S + loss, count + int(known.sum())
        if count >= HELD_OUT:
            break
    scores = [
        {"l2": l2, "accuracy": float(right / max(1, count)), "loss": float(loss / max(1, count))}
        for l2, right, loss in zip(strengths, right_S, loss_S, strict=True)
    ]
    return scores, half


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
