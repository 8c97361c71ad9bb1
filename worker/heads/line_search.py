"""How far to go along a direction, for many softmax regressions at once.

The logits are linear along a direction, so that no product with the rows is needed to look ahead.
Shapes: N rows, S regressions, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

LINE_STEPS = 10
FLAT = 0.25
"""The search ends where the slope is this share of what it was."""


def line_search(
    logits_NSK: Tensor,
    change_NSK: Tensor,
    label_N: Tensor,
    *,
    slope_S: Tensor,
    along_S: Tensor,
    square_S: Tensor,
) -> tuple[Tensor, Tensor]:
    """Lengths [S] at which the convex loss is nearly flat, and the probabilities [N, S, K] there.

    Newton's method on the slope, within a bracket that shrinks. ``slope_S`` is the slope at length
    0; ``along_S`` + length · ``square_S`` is the penalty's part of it.
    """
    index_N = torch.arange(len(label_N), device=label_N.device)
    of_label_S = change_NSK[index_N, :, label_N].mean(0)
    length_S = torch.ones_like(slope_S)
    low_S, high_S = torch.zeros_like(slope_S), torch.full_like(slope_S, math.inf)
    for _ in range(LINE_STEPS):
        ahead_NSK = torch.addcmul(logits_NSK, change_NSK, length_S[:, None])
        probability_NSK = torch.softmax(ahead_NSK, -1)
        weighted_NSK = probability_NSK * change_NSK
        mean_NS = weighted_NSK.sum(2)
        there_S = mean_NS.mean(0) - of_label_S + along_S + length_S * square_S
        flat_S = there_S.abs() <= FLAT * slope_S.abs()
        if flat_S.all():
            break
        curve_S = (weighted_NSK * change_NSK).sum(2).sub_(mean_NS.square()).mean(0) + square_S
        low_S = torch.where(there_S < 0, length_S, low_S)
        high_S = torch.where(there_S > 0, length_S, high_S)
        newton_S = length_S - there_S / curve_S
        halved_S = torch.where(high_S.isinf(), 2 * length_S, (low_S + high_S) / 2)
        inside_S = (newton_S > low_S) & (newton_S < high_S)
        length_S = torch.where(flat_S, length_S, torch.where(inside_S, newton_S, halved_S))
    return length_S, probability_NSK
