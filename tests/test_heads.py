"""The labs' recipe for a head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cache.errors import InvalidRequest
from cache.pack import Pack, open_pack
from tests.manifests import plain_manifest
from tests.test_pack import write_pack
from worker.heads.file import LinearHead
from worker.heads.method import Run
from worker.heads.training import splits_of, train_and_score

ROWS, WIDTH = 600, 20


def train_lab(
    pack: Pack, train: str, validation: str | None, tell: Callable[[Any], None], **params: Any
) -> tuple[LinearHead, dict[str, Any]]:
    rows, watched = splits_of(pack, train, validation)
    run = Run(torch.device("cpu"), tell, watched)
    head, metrics = train_and_score("lab", params, rows, watched, run)
    assert isinstance(head, LinearHead)
    return head, metrics


def quiet(_: object) -> None: ...


@pytest.fixture
def pack(tmp_path: Path) -> Pack:
    """Three clouds that a linear head can tell apart, not quite perfectly."""
    manifest = plain_manifest(ROWS)
    random = np.random.default_rng(2)
    centres = random.normal(size=(3, WIDTH))
    features = centres[manifest.label_N] + random.normal(size=(ROWS, WIDTH)) * 0.9
    write_pack(tmp_path / "a.h5", manifest, features.astype(np.float32), invalid=(0, 1, 599))
    return open_pack(tmp_path / "a.h5")


def test_it_learns_and_tells_every_epoch(pack: Pack) -> None:
    told: list[dict[str, Any]] = []
    _, metrics = train_lab(pack, "train", "validation", told.append, rate=0.01)
    epochs = [progress["epoch"] for progress in told if "epoch" in progress]
    assert epochs == list(range(1, 51))
    assert [point["epoch"] for point in metrics["curves"]] == epochs
    assert metrics["curves"][0]["train_loss"] > metrics["curves"][-1]["train_loss"]
    assert metrics["validation_accuracy"] > 0.9
    assert (metrics["train_rows"], metrics["validation_rows"]) == (478, 119), "invalid rows are out"


def test_the_scores_are_those_of_the_weights(pack: Pack) -> None:
    """Accuracy and loss, computed again by hand from the weights that are kept."""
    head, metrics = train_lab(pack, "train", "validation", quiet)
    start, stop = pack.splits["validation"]
    rows = [row for row in range(start, stop) if pack.valid_N[row]]
    logits = np.array(pack.features)[rows] @ head.weight_DK + head.bias_K
    labels = pack.labels_N[rows]
    assert metrics["validation_accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probability[np.arange(len(rows)), labels].mean()
    assert metrics["validation_loss"] == pytest.approx(loss, rel=1e-5)


def test_the_first_step_is_adam_from_a_glorot_start(pack: Pack) -> None:
    """One epoch of one batch moves every weight by about the rate; before that |w| <= limit."""
    still, _ = train_lab(pack, "train", None, quiet, epochs=1, batch=4096, rate=1e-12)
    limit = (6 / (WIDTH + 3)) ** 0.5
    assert np.abs(still.weight_DK).max() <= limit
    assert np.abs(still.weight_DK).std() > limit / 10
    moved, _ = train_lab(pack, "train", None, quiet, epochs=1, batch=4096, rate=1e-3)
    np.testing.assert_allclose(np.abs(moved.weight_DK - still.weight_DK), 1e-3, rtol=1e-2)
    np.testing.assert_allclose(np.abs(moved.bias_K), 1e-3, rtol=1e-2)


def test_equal_seeds_give_equal_heads(pack: Pack) -> None:
    one, same, other = (
        train_lab(pack, "train", None, quiet, epochs=3, seed=seed)[0] for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.weight_DK, same.weight_DK)
    assert not np.array_equal(one.weight_DK, other.weight_DK)


def test_training_does_not_touch_the_global_generator(pack: Pack) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_lab(pack, "train", None, quiet, epochs=1)
    assert torch.equal(torch.rand(3), expected)


def test_no_validation_split_is_fine(pack: Pack) -> None:
    _, metrics = train_lab(pack, "train", None, quiet, epochs=2)
    assert not {"validation_accuracy", "evaluation", "trust"} & metrics.keys()
    assert metrics["validation_rows"] == 0


def test_one_class_is_refused(tmp_path: Path) -> None:
    manifest = plain_manifest(50, classes=1)
    write_pack(tmp_path / "b.h5", manifest, np.ones((50, 4), np.float32))
    with pytest.raises(InvalidRequest, match="fewer than two classes"):
        train_lab(open_pack(tmp_path / "b.h5"), "train", None, quiet)


def test_a_split_without_usable_rows_is_refused(tmp_path: Path) -> None:
    manifest = plain_manifest(50)
    invalid = tuple(range(40, 50))
    write_pack(tmp_path / "b.h5", manifest, np.ones((50, 4), np.float32), invalid=invalid)
    with pytest.raises(InvalidRequest, match="'validation' has no decoded row"):
        train_lab(open_pack(tmp_path / "b.h5"), "train", "validation", quiet)
