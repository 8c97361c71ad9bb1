"""A stratified part of train, for learning curves. Shapes: N rows, G groups."""

from __future__ import annotations

import numpy as np

from worker.heads.rows import Rows
from worker.heads.splitting import groups_of


def part_of(rows: Rows, share: float, draw: int) -> Rows:
    """About ``share`` of each class, at least one row of it; groups are taken whole.

    Of one ``draw`` a smaller share is within a larger one, so that a learning curve is not bent by
    the choice of images.
    """
    random = np.random.default_rng(draw)
    group_N = groups_of(rows)
    every_N = np.arange(len(rows)) if group_N is None else group_N
    unique, first_G, member_N = np.unique(every_N, return_index=True, return_inverse=True)
    order_G = random.permutation(len(unique))
    label_G, size_G = rows.label_N[first_G], np.bincount(member_N)
    taken_G = np.zeros(len(unique), bool)
    for label in np.unique(label_G):
        mine = order_G[label_G[order_G] == label]
        before = np.cumsum(size_G[mine]) - size_G[mine]
        taken_G[mine[before < share * size_G[mine].sum()]] = True
    return rows.take(np.flatnonzero(taken_G[member_N]))
