"""``centroid``: the class whose mean of standardised features is nearest.

-½ |x - c|² is linear in x but for a part that all classes share: c · x - ½ |c|². A factor fitted to
the scores of rows left out of their class's mean makes it a probability. Shapes: N rows, B rows of
a block, D values in a row, L classes that the rows have.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worker.heads.matrix import Standard
from worker.heads.method import Present, Run, Trained, temperature
from worker.heads.rows import Rows


@dataclass(frozen=True)
class CentroidParams:
    """Nothing to set."""


def train_centroid(rows: Rows, params: CentroidParams, run: Run) -> Trained:
    """Streams: three passes over the rows."""
    present, standard = Present.of(rows), Standard.of(rows)
    count_L = np.bincount(present.label_N)
    centre_LD = np.zeros((len(present), rows.width))
    for chosen, features_BD in rows.blocks():
        run.tell({"phase": "training"})
        member_BL = np.eye(len(present), dtype=np.float32)[present.label_N[chosen]]
        centre_LD += member_BL.T @ standard.apply(features_BD)
    centre_LD /= count_L[:, None]
    square_L = np.square(centre_LD).sum(axis=1)
    score_NL = np.empty((len(rows), len(present)), np.float32)
    for chosen, features_BD in rows.blocks():
        standard.apply(features_BD)
        dot_BL = features_BD @ centre_LD.T.astype(np.float32)
        score_NL[chosen] = dot_BL - square_L / 2
        label_B, row_B = present.label_N[chosen], np.arange(len(features_BD))
        own_B, n_B = dot_BL[row_B, label_B], count_L[label_B]
        length_B = np.square(features_BD).sum(axis=1)
        rest_B = np.maximum(n_B - 1, 1)
        own_square_B = (
            np.square(n_B) * square_L[label_B] - 2 * n_B * own_B + length_B
        ) / np.square(rest_B)
        score_NL[chosen][row_B, label_B] = (n_B * own_B - length_B) / rest_B - own_square_B / 2
    several_N = count_L[present.label_N] > 1
    factor = 1.0
    if several_N.any():
        factor = temperature(score_NL[several_N], present.label_N[several_N])
    head = present.linear_head(rows, standard, factor * centre_LD.T, -factor * square_L / 2)
    return Trained(head)
