"""Whether a score can be trusted: what validation shares with train.

Shapes: T rows of train, V of validation, B of a block, D values in a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.heads.file import Floats, unit_rows
from worker.heads.matrix import Standard
from worker.heads.metrics import accuracy_of
from worker.heads.rows import Rows
from worker.heads.splitting import groups_of

NEAR = 0.85
"""Cosine of standardised features from which two images are taken for the same scene.

Measured on the labs' CIFAR-10 with mobilenet_v2 and VGG-16: of unrelated images the nearest of
1,000 is below 0.70 and 0.77 in 99 of 100 cases; an image moved by a pixel, brightened by a tenth or
saved as JPEG at quality 95 mostly stays above. Of the pairs above, 4 of 4 and 4 of 6 were the same
photograph; the other two were aeroplanes in blue sky."""
MULTIPLICATIONS = 2e11
"""At most: about four seconds on two cores. Beyond, fewer validation rows are compared."""
SHOWN = 20
ASKED_ROWS = 4096


def trust(train: Rows, validation: Rows, right_V: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Exact and near duplicates and common groups, counted, and accuracy with and without them."""
    twin_V = _exact(train, validation)
    near = _nearest(train, validation)
    copied_V = twin_V >= 0
    similar_V = copied_V | (near.cosine_V >= NEAR)
    found: dict[str, Any] = {
        "with_all": accuracy_of(right_V),
        "exact_duplicates": int(copied_V.sum()),
        "without_exact_duplicates": accuracy_of(right_V[~copied_V]),
        "near_duplicates": int((similar_V & ~copied_V).sum()),
        "near_duplicates_from": NEAR,
        "near_duplicates_compared": near.compared,
        "without_near_duplicates": accuracy_of(right_V[~similar_V]),
        "duplicate_pairs": _pairs(train, validation, twin_V, near),
    }
    group_T, group_V = groups_of(train), groups_of(validation)
    if group_T is not None and group_V is not None:
        shared_V = np.isin(group_V, group_T)
        found |= {
            "groups_on_both_sides": len(np.unique(group_V[shared_V])),
            "rows_of_groups_on_both_sides": int(shared_V.sum()),
            "without_groups_on_both_sides": accuracy_of(right_V[~shared_V]),
        }
    return found


def _exact(train: Rows, validation: Rows) -> npt.NDArray[np.int64]:
    """For each row of validation a row of train with the same image, else -1: places [V]."""
    hash_T, hash_V = _hashes(train), _hashes(validation)
    order_T = np.argsort(hash_T, kind="stable")
    place_V = np.minimum(np.searchsorted(hash_T[order_T], hash_V), len(train) - 1)
    twin_V = order_T[place_V]
    return np.where(hash_T[twin_V] == hash_V, twin_V, -1)


def _hashes(rows: Rows) -> npt.NDArray[np.bytes_]:
    """As hex: NumPy's bytes would lose zeros at their end."""
    return np.array([row.tobytes().hex() for row in rows.pack.row_hash_NH[rows.row_N]], "S32")


@dataclass(frozen=True)
class _Nearest:
    """The nearest row of train (place [V], cosine [V]) of ``compared`` rows; others have -1."""

    place_V: npt.NDArray[np.int64]
    cosine_V: Floats
    compared: int


def _nearest(train: Rows, validation: Rows) -> _Nearest:
    standard = Standard.of(train)
    affordable = int(MULTIPLICATIONS / (len(train) * train.width))
    compared = min(len(validation), max(1, affordable))
    asked = np.linspace(0, len(validation) - 1, compared).astype(np.int64)
    place_V = np.full(len(validation), -1)
    cosine_V = np.full(len(validation), -1, np.float32)
    for first in range(0, compared, ASKED_ROWS):
        asked_B = asked[first : first + ASKED_ROWS]
        asked_BD = unit_rows(standard.apply(validation.read(asked_B)))
        for chosen, features_BD in train.blocks():
            cosine_BB = asked_BD @ unit_rows(standard.apply(features_BD)).T
            best_B = cosine_BB.argmax(axis=1)
            best_cosine_B = cosine_BB[np.arange(len(asked_B)), best_B]
            nearer_B = best_cosine_B > cosine_V[asked_B]
            place_V[asked_B[nearer_B]] = chosen.start + best_B[nearer_B]
            cosine_V[asked_B[nearer_B]] = best_cosine_B[nearer_B]
    return _Nearest(place_V, cosine_V, compared)


def _pairs(
    train: Rows, validation: Rows, twin_V: npt.NDArray[np.int64], near: _Nearest
) -> list[dict[str, Any]]:
    """Rows of validation with the row of train that they repeat: exact ones first."""
    exact_V = twin_V >= 0
    cosine_V = np.where(exact_V, np.inf, near.cosine_V)
    order = np.argsort(-cosine_V, kind="stable")
    row_id_N = train.pack.row_id_N
    return [
        {
            "validation": row_id_N[validation.row_N[place]],
            "train": row_id_N[
                train.row_N[twin_V[place] if exact_V[place] else near.place_V[place]]
            ],
            "cosine": None if exact_V[place] else float(near.cosine_V[place]),
        }
        for place in order[:SHOWN]
        if cosine_V[place] >= NEAR
    ]
