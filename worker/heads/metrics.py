"""What is known of a head from its probabilities on rows: N of them, K classes.

With scikit-learn where it has the measure; the interval, the calibration and the list of mistakes
are ours.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support, roc_auc_score

from worker.heads.file import Floats, Head
from worker.heads.rows import Rows

Z = 1.959964
"""Two-sided 95 % of the normal distribution."""
BINS = 15
"""Of confidence, equally wide, as Guo et al. 2017 have them."""
MISTAKES = 20
MOST_CONFUSION = 256
"""Classes, beyond which the confusion matrix is not given: it would be megabytes of JSON."""
SMALLEST = 1e-12
"""A probability of 0 counts as this in a loss, which is else infinite."""


def predict(head: Head, rows: Rows) -> Floats:
    """Probabilities float32 [N, K], the rows read in blocks."""
    probability_NK = np.empty((len(rows), len(rows.classes)), np.float32)
    for chosen, features_BD in rows.blocks():
        probability_NK[chosen] = head.probabilities(features_BD)
    return probability_NK


def loss_of(probability_NK: Floats, label_N: npt.NDArray[np.int64]) -> float:
    """Mean cross-entropy."""
    of_label_N = probability_NK[np.arange(len(label_N)), label_N].astype(np.float64)
    return float(-np.log(np.maximum(of_label_N, SMALLEST)).mean())


def accuracy_of(right_N: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Rows, accuracy and its 95 % interval; both null without rows."""
    if not len(right_N):
        return {"rows": 0, "accuracy": None, "interval": None}
    return {
        "rows": len(right_N),
        "accuracy": float(right_N.mean()),
        "interval": wilson(int(right_N.sum()), len(right_N)),
    }


def wilson(right: int, rows: int) -> list[float]:
    """Wilson's 95 % score interval (1927): within 0 to 1, and sound for few rows and near 1."""
    share, square = right / rows, Z * Z / rows
    centre = share + square / 2
    half = Z * np.sqrt(share * (1 - share) / rows + square / (4 * rows))
    low, high = (centre - half) / (1 + square), (centre + half) / (1 + square)
    return [float(max(0.0, low)), float(min(1.0, high))]


def evaluation(probability_NK: Floats, rows: Rows) -> dict[str, Any]:
    """Everything about the predictions of validation rows, as plain values."""
    label_N, classes = rows.label_N, rows.classes
    predicted_N = probability_NK.argmax(axis=1)
    right_N = predicted_N == label_N
    every = np.arange(len(classes))
    precision_K, recall_K, f1_K, rows_K = precision_recall_fscore_support(
        label_N, predicted_N, labels=every, zero_division=0
    )
    seen_K = rows_K > 0
    found = accuracy_of(right_N) | {
        "top5_accuracy": _top5(probability_NK, label_N),
        "loss": loss_of(probability_NK, label_N),
        "macro_f1": float(f1_K[seen_K].mean()),
        "per_class": [
            {
                "class": classes[k],
                "rows": int(rows_K[k]),
                "precision": float(precision_K[k]),
                "recall": float(recall_K[k]),
                "f1": float(f1_K[k]),
            }
            for k in every
        ],
        "confusion": confusion_matrix(label_N, predicted_N, labels=every).tolist()
        if len(classes) <= MOST_CONFUSION
        else None,
        "most_wrong": _most_wrong(probability_NK, predicted_N, rows),
    }
    if len(classes) == 2:
        both = len(np.unique(label_N)) == 2
        found["roc_auc"] = float(roc_auc_score(label_N, probability_NK[:, 1])) if both else None
    return found | _calibration(probability_NK.max(axis=1), right_N)


def _top5(probability_NK: Floats, label_N: npt.NDArray[np.int64]) -> float:
    """Rows with fewer than five classes more probable than theirs; ties are to our disadvantage."""
    of_label_N1 = probability_NK[np.arange(len(label_N)), label_N][:, None]
    return float(((probability_NK >= of_label_N1).sum(axis=1) <= 5).mean())


def _calibration(confidence_N: Floats, right_N: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Expected calibration error and the reliability curve, of the predicted class."""
    bin_N = np.minimum((confidence_N * BINS).astype(np.int64), BINS - 1)
    rows_b = np.bincount(bin_N, minlength=BINS)
    sure_b = np.bincount(bin_N, confidence_N, BINS)
    right_b = np.bincount(bin_N, right_N, BINS)
    return {
        "calibration_error": float(np.abs(sure_b - right_b).sum() / len(right_N)),
        "reliability": [
            {
                "confidence": float(sure_b[b] / rows_b[b]),
                "accuracy": float(right_b[b] / rows_b[b]),
                "rows": int(rows_b[b]),
            }
            for b in np.flatnonzero(rows_b)
        ],
    }


def _most_wrong(
    probability_NK: Floats, predicted_N: npt.NDArray[np.int64], rows: Rows
) -> list[dict[str, Any]]:
    """The mistakes of which the head is surest, most confident first."""
    wrong = np.flatnonzero(predicted_N != rows.label_N)
    worst = wrong[np.argsort(-probability_NK[wrong, predicted_N[wrong]], kind="stable")[:MISTAKES]]
    return [mistake(rows, place, int(predicted_N[place]), probability_NK[place]) for place in worst]


def mistake(rows: Rows, place: int, predicted: int, probability_K: Floats) -> dict[str, Any]:
    """A row that is taken for another class."""
    row, label = int(rows.row_N[place]), int(rows.label_N[place])
    return {
        "row": row,
        "row_id": rows.pack.row_id_N[row],
        "label": rows.classes[label],
        "predicted": rows.classes[predicted],
        "probability": float(probability_K[predicted]),
        "label_probability": float(probability_K[label]),
    }
