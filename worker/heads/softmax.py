"""Softmax regression with many L2 strengths at once: L-BFGS that shares its matrix products.

For each strength l2 this minimises what scikit-learn's ``LogisticRegression(C=1 / l2)`` does,

    sum over rows of cross-entropy(softmax(W x + b), label)  +  l2 / 2 · |W|²,

divided by the number of rows as there; the bias is free. What makes it quick:

- One product of the rows with the directions of all strengths, and one with their residuals, is a
  step of all of them. Logits are linear along a direction, so the line search (Newton's method on
  the slope) needs no further product.
- L-BFGS starts from the Hessian at zero, (h · covariance + l2), h = 1 / K (Böhning 1992), inverted
  in the covariance's leading eigenvectors, which a randomised range finder gives (Halko et al.
  2011, algorithm 4.4), with their mean for the rest.
- Strengths are solved from strong to weak, a few at a time. Each group starts where a line
  through the two weakest solutions so far leads; one that converged leaves the products.

Shapes: N rows, D values in a row, K classes, S strengths, R eigenvectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from worker.heads.line_search import line_search
from worker.heads.matrix import Matrix

RANK = 128
MEMORY = 6
"""Steps that L-BFGS remembers."""
TOGETHER_COLUMNS = 96
"""Strengths × classes that are solved together: wide enough for fast products, and few enough
that most strengths start near their solution. Measured at 43 classes: 2 strengths are best."""
LONGEST_SOLVE = 1000
EXACT = 2e-5
STRIDE, FARTHEST = 0.8, 4.0
"""Of the way that the logarithm of l2 went, a start is extrapolated so much: paths flatten."""


@dataclass(frozen=True)
class Solution:
    """``weight_KD``, ``bias_K``, ``logits_NK`` of the rows, and how many steps it took."""

    l2: float
    weight_KD: Tensor
    bias_K: Tensor
    logits_NK: Tensor
    steps: int


@dataclass(frozen=True)
class Preconditioner:
    """(h · covariance + l2)⁻¹ for symmetric h and any l2."""

    basis_DR: Tensor
    value_R: Tensor
    rest: Tensor
    """The mean of the eigenvalues beyond the first R."""

    def apply(self, slope_SKD: Tensor, h: float, l2_S: Tensor) -> Tensor:
        l2_S11 = l2_S[:, None, None]
        outside_S11 = 1 / (h * self.rest + l2_S11)
        inside_S1R = 1 / (h * self.value_R + l2_S11)
        return (
            slope_SKD * outside_S11
            + ((slope_SKD @ self.basis_DR) * (inside_S1R - outside_S11)) @ self.basis_DR.T
        )


def preconditioner(features: Matrix, rank: int = RANK) -> Preconditioner:
    """Of the rows' covariance; deterministic."""
    width = features.width
    rank = min(rank, width, features.rows)
    generator = torch.Generator().manual_seed(0)
    sketch_DR = torch.randn(width, rank, generator=generator).to(features.device)
    basis_DR = torch.linalg.qr(features.back(features.times(sketch_DR)))[0]
    image_NR = features.times(basis_DR)
    value_R, turn_RR = torch.linalg.eigh(image_NR.T @ image_NR / features.rows)
    value_R = value_R.clamp_min(0)
    rest = (features.variance - value_R.sum()).clamp_min(0) / max(1, width - rank)
    return Preconditioner(basis_DR @ turn_RR, value_R, rest)


@dataclass
class _Batch:
    """The strengths that are still being solved. Lengths of the past: S each."""

    index_S: Tensor
    l2_S: Tensor
    weight_SKD: Tensor
    bias_SK: Tensor
    logits_NSK: Tensor
    slope_SKD: Tensor
    slope_SK: Tensor
    past: list[tuple[Tensor, Tensor, Tensor, Tensor]]
    """Step and change of the slope: of weights [S, K, D] and of biases [S, K]."""

    def keep(self, kept_S: Tensor) -> None:
        for name in ("index_S", "l2_S", "weight_SKD", "bias_SK", "slope_SKD", "slope_SK"):
            setattr(self, name, getattr(self, name)[kept_S])
        self.logits_NSK = self.logits_NSK[:, kept_S]
        self.past = [
            (step[kept_S], step_b[kept_S], turn[kept_S], turn_b[kept_S])
            for step, step_b, turn, turn_b in self.past
        ]


@dataclass(frozen=True)
class SoftmaxRegression:
    """The problem: rows [N, D], ``label_N`` (int64, each of 0 to K - 1 at least once)."""

    features: Matrix
    label_N: Tensor
    classes: int
    preconditioner: Preconditioner

    def path(
        self,
        l2: Sequence[float],
        tolerance: float | None,
        tell: Callable[[], None],
        start: tuple[Tensor, Tensor] | None = None,
    ) -> list[Solution]:
        """A solution for each strength, in the order given; from ``start``, a weight and a bias.

        Each ends when no slope of the mean loss is above ``tolerance``, scikit-learn's ``tol``.
        Without one, it ends when what is minimised is proven to be within 2e-5 of its minimum: a
        function whose curvature is l2 or more is at most |slope|² / (2 · l2) above it.
        ``tell`` is called before every step, and may raise to end it.
        """
        order = sorted(range(len(l2)), key=lambda i: -l2[i])
        together = max(1, TOGETHER_COLUMNS // self.classes)
        found: list[Solution] = []
        for first in range(0, len(order), together):
            group = [l2[i] for i in order[first : first + together]]
            before = found[-2:] or self._given(start, group[0])
            found += self._solve(group, tolerance, before, tell)
        return [found[order.index(i)] for i in range(len(l2))]

    def _given(self, start: tuple[Tensor, Tensor] | None, l2: float) -> list[Solution]:
        if start is None:
            return []
        weight_KD, bias_K = start
        logits_NK = self.features.times(weight_KD.T) + bias_K
        return [Solution(l2, weight_KD, bias_K, logits_NK, 0)]

    def _solve(
        self,
        l2: Sequence[float],
        tolerance: float | None,
        before: list[Solution],
        tell: Callable[[], None],
    ) -> list[Solution]:
        batch = self._start(l2, before)
        solved: dict[int, Solution] = {}
        for step in range(LONGEST_SOLVE + 1):
            done_S = self._is_flat(batch, tolerance)
            if step == LONGEST_SOLVE:
                done_S |= True
            for i in torch.nonzero(done_S)[:, 0].tolist():
                solved[int(batch.index_S[i])] = Solution(
                    l2=l2[int(batch.index_S[i])],
                    weight_KD=batch.weight_SKD[i],
                    bias_K=batch.bias_SK[i],
                    logits_NK=batch.logits_NSK[:, i],
                    steps=step,
                )
            tell()
            if len(solved) == len(l2):
                break
            if done_S.any():
                batch.keep(~done_S)
            self._step(batch)
        return [solved[i] for i in range(len(l2))]

    def _is_flat(self, batch: _Batch, tolerance: float | None) -> Tensor:
        if tolerance is not None:
            steepest_S = torch.maximum(
                batch.slope_SKD.abs().amax((1, 2)), batch.slope_SK.abs().amax(1)
            )
            return steepest_S <= tolerance
        index_N = torch.arange(self.features.rows, device=self.features.device)
        of_label_NS = batch.logits_NSK[index_N, :, self.label_N]
        loss_S = (batch.logits_NSK.logsumexp(2) - of_label_NS).mean(0)
        loss_S = loss_S + batch.l2_S / 2 * batch.weight_SKD.square().sum((1, 2))
        square_S = batch.slope_SKD.square().sum((1, 2)) + batch.slope_SK.square().sum(1)
        return square_S / (2 * batch.l2_S) <= EXACT * loss_S

    def _start(self, l2: Sequence[float], before: list[Solution]) -> _Batch:
        """Zero weights, or what was solved before, or beyond the two last of that."""
        count, rows, device = len(l2), self.features.rows, self.features.device
        l2_S = torch.tensor(l2, dtype=torch.float32, device=device) / rows
        if before:
            last, other = before[-1], before[0]
            stride = math.log(other.l2 / last.l2) if other is not last else math.inf
            ahead_S = torch.tensor(
                [min(STRIDE * math.log(last.l2 / one) / stride, FARTHEST) for one in l2],
                dtype=torch.float32,
                device=device,
            )

            def beyond(now: Tensor, then: Tensor) -> Tensor:
                return now + ahead_S.view(-1, *[1] * now.ndim) * (now - then)

            weight_SKD = beyond(last.weight_KD, other.weight_KD)
            bias_SK = beyond(last.bias_K, other.bias_K)
            logits_NSK = beyond(last.logits_NK, other.logits_NK).transpose(0, 1).contiguous()
            slope_SKD, slope_SK = self._slope(torch.softmax(logits_NSK, -1))
        else:
            share_K = torch.bincount(self.label_N, minlength=self.classes) / rows
            bias_SK = share_K.log().expand(count, -1)
            weight_SKD = torch.zeros(count, self.classes, self.features.width, device=device)
            logits_NSK = bias_SK.expand(rows, -1, -1)
            one_slope, one_slope_b = self._slope(torch.softmax(logits_NSK[:, :1], -1))
            slope_SKD = one_slope.expand(count, -1, -1)  # the same for all: one product
            slope_SK = one_slope_b.expand(count, -1)
        return _Batch(
            index_S=torch.arange(count, device=device),
            l2_S=l2_S,
            weight_SKD=weight_SKD,
            bias_SK=bias_SK,
            logits_NSK=logits_NSK,
            slope_SKD=slope_SKD + l2_S[:, None, None] * weight_SKD,
            slope_SK=slope_SK,
            past=[],
        )

    def _slope(self, probability_NSK: Tensor) -> tuple[Tensor, Tensor]:
        """Of the mean cross-entropy: [S, K, D] and [S, K]. Takes the probabilities as its own."""
        rows, count, classes = probability_NSK.shape
        residual_NSK = probability_NSK
        index_N = torch.arange(rows, device=self.features.device)
        residual_NSK[index_N, :, self.label_N] -= 1
        slope = self.features.back(residual_NSK.view(rows, count * classes)).T
        return slope.view(count, classes, -1) / rows, residual_NSK.mean(0)

    def _direction(self, batch: _Batch) -> tuple[Tensor, Tensor]:
        """L-BFGS's two loops (Nocedal and Wright 2006, algorithm 7.4)."""
        h = 1 / self.classes
        q, q_b = batch.slope_SKD.clone(), batch.slope_SK.clone()
        shares: list[tuple[Tensor, Tensor]] = []
        for step, step_b, turn, turn_b in reversed(batch.past):
            rho_S = 1 / _dot(step, step_b, turn, turn_b)
            share_S = rho_S * _dot(step, step_b, q, q_b)
            q -= share_S[:, None, None] * turn
            q_b -= share_S[:, None] * turn_b
            shares.append((rho_S, share_S))
        scale_S = torch.ones_like(batch.l2_S)
        if batch.past:
            step, step_b, turn, turn_b = batch.past[-1]
            eased = self.preconditioner.apply(turn, h, batch.l2_S)
            scale_S = _dot(step, step_b, turn, turn_b) / _dot(turn, turn_b, eased, turn_b / h)
        q = self.preconditioner.apply(q, h, batch.l2_S) * scale_S[:, None, None]
        q_b = q_b / h * scale_S[:, None]
        for (step, step_b, turn, turn_b), (rho_S, share_S) in zip(
            batch.past, reversed(shares), strict=True
        ):
            rest_S = share_S - rho_S * _dot(turn, turn_b, q, q_b)
            q += rest_S[:, None, None] * step
            q_b += rest_S[:, None] * step_b
        return -q, -q_b

    def _step(self, batch: _Batch) -> None:
        rows, count = self.features.rows, len(batch.l2_S)
        way_SKD, way_SK = self._direction(batch)
        ways_DM = way_SKD.reshape(count * self.classes, -1).T
        change_NSK = self.features.times(ways_DM).view(rows, count, -1) + way_SK
        length_S, probability_NSK = line_search(
            batch.logits_NSK,
            change_NSK,
            self.label_N,
            slope_S=_dot(batch.slope_SKD, batch.slope_SK, way_SKD, way_SK),
            along_S=(batch.weight_SKD * way_SKD).sum((1, 2)) * batch.l2_S,
            square_S=way_SKD.square().sum((1, 2)) * batch.l2_S,
        )
        step_SKD, step_SK = length_S[:, None, None] * way_SKD, length_S[:, None] * way_SK
        batch.logits_NSK = torch.addcmul(batch.logits_NSK, change_NSK, length_S[:, None])
        batch.weight_SKD = batch.weight_SKD + step_SKD
        batch.bias_SK = batch.bias_SK + step_SK
        slope_SKD, slope_SK = self._slope(probability_NSK)
        slope_SKD += batch.l2_S[:, None, None] * batch.weight_SKD
        batch.past.append(
            (step_SKD, step_SK, slope_SKD - batch.slope_SKD, slope_SK - batch.slope_SK)
        )
        del batch.past[:-MEMORY]
        batch.slope_SKD, batch.slope_SK = slope_SKD, slope_SK


def _dot(a_SKD: Tensor, a_SK: Tensor, b_SKD: Tensor, b_SK: Tensor) -> Tensor:
    return (a_SKD * b_SKD).sum((1, 2)) + (a_SK * b_SK).sum(1)
