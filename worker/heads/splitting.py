"""Setting rows aside within train: stratified, and never a group on both sides.

A group is a run of nearly equal images, such as the frames of one drive past a traffic sign:
GTSRB names them ``<class>/<track>_<frame>``. With frames of one track on both sides a score tells
how well a head remembers, not how well it generalises. Shapes: N rows, F folds.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from worker.heads.rows import Rows

_TRACK_FRAME = re.compile(r"(?:.*/)?([^/]+/\d+)_\d+(?:\.\w+)?")
"""``…/<class>/<track>_<frame>.<ext>``; whatever stands before the class is the split's folder."""


def groups_of(rows: Rows) -> npt.NDArray[np.str_] | None:
    """The name [N] of each row's group; None if row ids carry none.

    They do if all of these have the form, and at least one group has two rows.
    """
    names = [_TRACK_FRAME.fullmatch(rows.pack.row_id_N[row]) for row in rows.row_N]
    if not all(names):
        return None
    group_N = np.array([name[1] for name in names if name])
    return group_N if len(np.unique(group_N)) < len(rows) else None


def folds_of(
    label_N: npt.NDArray[np.int64], group_N: npt.NDArray[np.str_] | None, folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """A fold from 0 to F - 1 for each row: each class spread evenly, each group in one fold.

    Of a class with fewer groups than folds, some folds have none.
    """
    random = np.random.default_rng(seed)
    every_N = np.arange(len(label_N)) if group_N is None else group_N
    unique, first_G, member_N = np.unique(every_N, return_index=True, return_inverse=True)
    label_G = label_N[first_G]
    order_G = random.permutation(len(unique))
    order_G = order_G[np.argsort(label_G[order_G], kind="stable")]
    fold_G = np.empty(len(unique), np.int64)
    size_G = np.bincount(member_N)
    load_KF = np.zeros((int(label_N.max()) + 1, folds))
    total_F = np.zeros(folds)
    for group in order_G:
        load_F = load_KF[label_G[group]]
        fold = int(np.lexsort((total_F, load_F))[0])  # least of the class, then least of all
        fold_G[group] = fold
        load_F[fold] += size_G[group]
        total_F[fold] += size_G[group]
    return fold_G[member_N]
