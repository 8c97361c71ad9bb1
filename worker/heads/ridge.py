"""``ridge``: least squares on one-hot labels with L2, in closed form for all strengths at once.

One eigendecomposition, of the covariance [D, D] or of the rows' products [N, N], whichever is
smaller. With rows T and targets B in its basis, a strength's prediction for a row that it was not
fitted to is (fit - h · y) / (1 - h), h the row's leverage (Golub, Heath and Wahba 1979), so that
the strength is chosen by leave-one-out over all of train. A factor on the scores, fitted to those
predictions, makes them probabilities. Shapes: N rows, B rows of a block, D values in a row, L
classes that the rows have, R = min(N, D).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cache.errors import TooLarge
from worker.heads.matrix import Matrix, Standard
from worker.heads.method import Present, Run, Trained, temperature
from worker.heads.rows import Rows

STRENGTHS = tuple(float(f"{l2:.4g}") for l2 in np.logspace(1, 5.75, 20))
WIDEST = 8192
"""Of the matrix that is decomposed: 512 MiB in float64, about a minute on two cores."""


@dataclass(frozen=True)
class RidgeParams:
    """``l2`` is scikit-learn's ``Ridge(alpha)``: the weight of |W|² against the squared errors."""

    l2: float | tuple[float, ...] = STRENGTHS


@dataclass(frozen=True)
class _Basis:
    """``value_R`` eigenvalues, ``target_RL`` the labels in their basis, and the way back."""

    value_R: Tensor
    target_RL: Tensor
    blocks: Callable[[], Iterator[tuple[slice, Tensor]]]
    """The rows [B, R] in the basis."""
    weight: Callable[[Tensor], Tensor]
    """[R, L] in the basis → [D, L]."""


def train_ridge(rows: Rows, params: RidgeParams, run: Run) -> Trained:
    """Streams if rows are not wider than many: two passes, and one for the factor.

    Raises:
        TooLarge: there are more than 8,192 rows and more than 8,192 values in a row.
    """
    present, standard = Present.of(rows), Standard.of(rows)
    features = Matrix(rows, standard, run.device)
    share_L = np.bincount(present.label_N) / len(rows)
    target_NL = torch.from_numpy(np.eye(len(present))[present.label_N] - share_L).to(run.device)
    run.tell({"phase": "training"})
    basis = _basis(features, target_NL)
    strengths = params.l2 if isinstance(params.l2, tuple) else (params.l2,)
    story: dict[str, Any] = {}
    l2 = strengths[0]
    if len(strengths) > 1:
        story["sweep"] = [
            _scored(one, basis, target_NL, present.label_N, share_L, run) for one in strengths
        ]
        best = max(story["sweep"], key=lambda one: (one["accuracy"], -one["loss"]))
        l2 = best["l2"]
        ends = (min(strengths), max(strengths))
        story["chosen"] = {"l2": l2, "at_the_end_of_the_sweep": l2 in ends}
    score_NL = _left_out(l2, basis, target_NL, share_L)
    factor = temperature(score_NL, present.label_N)
    weight_DL = basis.weight(basis.target_RL / (basis.value_R[:, None] + l2))
    head = present.linear_head(rows, standard, factor * weight_DL.cpu().numpy(), factor * share_L)
    return Trained(head, story)


def _basis(features: Matrix, target_NL: Tensor) -> _Basis:
    if min(features.rows, features.width) > WIDEST:
        raise TooLarge(
            f"ridge would decompose a matrix {min(features.rows, features.width)} wide",
            value=min(features.rows, features.width),
            remedy="use linear, or pool the tap",
        )
    return (
        _of_columns(features, target_NL)
        if features.width <= features.rows
        else _of_rows(features, target_NL)
    )


def _of_columns(features: Matrix, target_NL: Tensor) -> _Basis:
    product_DD = torch.zeros(
        features.width, features.width, dtype=torch.float64, device=features.device
    )
    for _, features_BD in features.blocks():
        product_DD += features_BD.T @ features_BD
    value_R, turn_DR = torch.linalg.eigh(product_DD)
    turn = turn_DR.float()

    def blocks() -> Iterator[tuple[slice, Tensor]]:
        for chosen, features_BD in features.blocks():
            yield chosen, features_BD @ turn

    target_RL = turn_DR.T @ features.back(target_NL.float()).double()
    return _Basis(value_R.clamp_min(0), target_RL, blocks, lambda inner: turn_DR @ inner)


def _of_rows(features: Matrix, target_NL: Tensor) -> _Basis:
    ((_, features_ND),) = features.blocks()  # N ≤ 8,192 rows are in memory
    value_R, turn_NR = torch.linalg.eigh((features_ND @ features_ND.T).double())
    value_R = value_R.clamp_min(0)
    root_R = value_R.sqrt()
    inverse_R = torch.where(root_R > 1e-6 * root_R.max(), 1 / root_R, 0)
    inner_NR = (turn_NR * root_R).float()
    return _Basis(
        value_R,
        root_R[:, None] * (turn_NR.T @ target_NL),
        lambda: iter([(slice(0, features.rows), inner_NR)]),
        lambda inner: features.back((turn_NR @ (inverse_R[:, None] * inner)).float()).double(),
    )


def _left_out(
    l2: float, basis: _Basis, target_NL: Tensor, share_L: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Each row's scores [N, L] by the head that was fitted to all others."""
    score_NL = torch.empty(target_NL.shape, dtype=torch.float32)
    shrink_R = 1 / (basis.value_R + l2)
    weight_RL = (basis.target_RL * shrink_R[:, None]).float()
    for chosen, inner_BR in basis.blocks():
        fit_BL = inner_BR @ weight_RL
        leverage_B1 = (inner_BR.square() @ shrink_R.float() + 1 / len(target_NL))[:, None]
        left_BL = (fit_BL - leverage_B1 * target_NL[chosen].float()) / (
            1 - leverage_B1.clamp_max(1 - 1e-6)
        )
        score_NL[chosen] = left_BL.cpu()
    return score_NL.numpy() + share_L.astype(np.float32)


def _scored(
    l2: float,
    basis: _Basis,
    target_NL: Tensor,
    label_N: npt.NDArray[np.int64],
    share_L: npt.NDArray[np.float64],
    run: Run,
) -> dict[str, float]:
    """Accuracy and mean squared error of a strength on rows left out."""
    run.tell({"phase": "sweep"})
    score_NL = _left_out(l2, basis, target_NL, share_L)
    wrong_NL = score_NL - share_L - target_NL.cpu().numpy()
    return {
        "l2": l2,
        "accuracy": float((score_NL.argmax(axis=1) == label_N).mean()),
        "loss": float(np.square(wrong_NL).sum(axis=1).mean()),
    }
