"""``knn``: the votes of the nearest rows by cosine, how many of them chosen within train.

Shapes: M rows of train, Q of them that are asked, B of a block, D values in a row, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from worker.heads.file import KnnHead, shares, unit_rows
from worker.heads.method import Run, Trained
from worker.heads.rows import Rows
from worker.heads.splitting import groups_of

NEIGHBOURS = (1, 3, 5, 7, 9, 13, 17, 25, 35, 49)
ASKED = 5000
"""Rows of train at most that are asked for the sweep, drawn at random."""
BLOCK = 1024


@dataclass(frozen=True)
class KnnParams:
    """How many neighbours vote; several are a sweep."""

    k: int | tuple[int, ...] = NEIGHBOURS


def train_knn(rows: Rows, params: KnnParams, run: Run) -> Trained:
    """Choose k by leaving each row out, and its whole group where row ids carry one.

    Raises:
        TooLarge: the rows take more than 4 GiB; knn remembers all of them.
    """
    features_MD = unit_rows(rows.load())
    ks = params.k if isinstance(params.k, tuple) else (params.k,)
    k, story = ks[0], dict[str, Any]()
    if len(ks) > 1:
        story["sweep"] = _sweep(features_MD, rows, ks, run)
        best = max(story["sweep"], key=lambda one: (one["accuracy"], -one["loss"]))
        k = int(best["k"])
        story["chosen"] = {"k": k, "at_the_end_of_the_sweep": k in (min(ks), max(ks))}
    return Trained(KnnHead(features_MD, rows.label_N, k, rows.classes), story)


def _sweep(
    features_MD: npt.NDArray[np.float32], rows: Rows, ks: tuple[int, ...], run: Run
) -> list[dict[str, float]]:
    """Accuracy and mean loss of each k on rows that do not vote for themselves."""
    draw = np.random.default_rng(0).permutation(len(rows))
    asked_Q = np.sort(draw[:ASKED])
    names_M = groups_of(rows)
    group_M = np.arange(len(rows))
    if names_M is not None:
        group_M = np.unique(names_M, return_inverse=True)[1]
    label_M = rows.label_N
    remembered_MD = torch.from_numpy(features_MD).to(run.device)
    most = min(max(ks), len(rows))
    right, loss = np.zeros(len(ks)), np.zeros(len(ks))
    for first in range(0, len(asked_Q), BLOCK):
        run.tell({"phase": "sweep"})
        asked_B = asked_Q[first : first + BLOCK]
        similarity_BM = remembered_MD[torch.from_numpy(asked_B).to(run.device)] @ remembered_MD.T
        same_BM = torch.from_numpy(group_M[asked_B][:, None] == group_M).to(run.device)
        similarity_BM.masked_fill_(same_BM, -2)
        nearest_Bk = similarity_BM.topk(most, dim=1).indices.cpu().numpy()
        vote_BkK = np.eye(len(rows.classes), dtype=np.float32)[label_M[nearest_Bk]]
        for number, k in enumerate(ks):
            share_BK = shares(vote_BkK[:, :k].sum(axis=1), k)
            right[number] += (share_BK.argmax(axis=1) == label_M[asked_B]).sum()
            loss[number] -= np.log(share_BK[np.arange(len(asked_B)), label_M[asked_B]]).sum()
    return [
        {"k": k, "accuracy": float(right[i] / len(asked_Q)), "loss": float(loss[i] / len(asked_Q))}
        for i, k in enumerate(ks)
    ]
