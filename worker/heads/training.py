"""Train a head on some rows of a pack, score it on others: what jobs, studies and advice call."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from cache.identity import hash_shard
from cache.pack import Pack
from worker.heads.file import Head
from worker.heads.method import Run
from worker.heads.methods import METHODS
from worker.heads.metrics import evaluation, loss_of, predict, wilson
from worker.heads.noise import label_suspects
from worker.heads.rows import Rows, check_classes, usable_rows
from worker.heads.subset import part_of
from worker.heads.threads import threads_for
from worker.heads.trust import trust


def splits_of(
    pack: Pack, train: str, validation: str | None, subset: Mapping[str, Any] | None = None
) -> tuple[Rows, Rows | None]:
    """The usable rows of both splits, of train only a ``subset`` (share, draw) if one is given.

    Raises:
        InvalidRequest: a split has none, train has one class, or validation has one that train
            lacks.
    """
    learned = usable_rows(pack, train)
    if subset is not None:
        learned = part_of(learned, **subset)
    held_out = None if validation is None else usable_rows(pack, validation)
    check_classes(learned, held_out, train)
    return learned, held_out


def train_and_score(
    method: str,
    params: Mapping[str, Any],
    train: Rows,
    validation: Rows | None,
    run: Run,
) -> tuple[Head, dict[str, Any]]:
    """The head and its ``metrics``, plain values. Validation is only read to score.

    ``validation_right`` says of each validation row, in order, whether it was classified rightly,
    as bits in hex, and has a hash of the rows' numbers: heads of equal ``rows`` can be compared
    image by image.

    Raises:
        InvalidRequest: a feature is NaN or infinite.
        TooLarge: the method cannot take so many rows.
    """
    with threads_for(len(train) * train.width * len(train.classes)):
        return _trained_and_scored(method, params, train, validation, run)


def _trained_and_scored(
    method: str, params: Mapping[str, Any], train: Rows, validation: Rows | None, run: Run
) -> tuple[Head, dict[str, Any]]:
    chosen = METHODS[method]
    began = time.perf_counter()
    trained = chosen.train(train, chosen.of(params), run)
    seconds = time.perf_counter() - began
    metrics: dict[str, Any] = {
        "train_rows": len(train),
        "validation_rows": 0 if validation is None else len(validation),
        "seconds": round(seconds, 4),
    }
    metrics |= _scores("train", trained.head, train)[0]
    if validation is not None:
        scores, probability_NK = _scores("validation", trained.head, validation)
        right_N = probability_NK.argmax(axis=1) == validation.label_N
        metrics |= scores | {
            "trust": trust(train, validation, right_N),
            "evaluation": evaluation(probability_NK, validation),
            "validation_right": {
                "rows": hash_shard(validation.row_N.astype("<i8").tobytes()).hex(),
                "bits": np.packbits(right_N).tobytes().hex(),
            },
        }
    metrics |= trained.story
    metrics["label_noise"] = label_suspects(train, run)
    return trained.head, metrics


def _scores(name: str, head: Head, rows: Rows) -> tuple[dict[str, Any], Any]:
    """Accuracy, its interval and the loss, and the probabilities [N, K]."""
    probability_NK = predict(head, rows)
    right = int((probability_NK.argmax(axis=1) == rows.label_N).sum())
    return {
        f"{name}_accuracy": right / len(rows),
        f"{name}_interval": wilson(right, len(rows)),
        f"{name}_loss": loss_of(probability_NK, rows.label_N),
    }, np.asarray(probability_NK)
