"""Scores and whether they can be trusted: intervals, duplicates, groups, labels that look wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score, top_k_accuracy_score
from sklearn.model_selection import StratifiedKFold

from cache.pack import open_pack
from tests.manifests import plain_manifest
from tests.test_head_methods import RUN, clouds, make_pack, scored
from tests.test_pack import write_pack
from worker.heads import noise, trust
from worker.heads.metrics import evaluation, loss_of, wilson
from worker.heads.rows import usable_rows
from worker.heads.splitting import folds_of, groups_of


def test_wilsons_interval() -> None:
    """Newcombe 1998, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29."""
    for right, rows, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (20, 20, 0.8389, 1.0),
    ):
        assert wilson(right, rows) == pytest.approx([low, high], abs=5e-5)


def test_scores_are_those_of_scikit_learn(tmp_path: Path) -> None:
    features_ND, label_N = clouds(300, 8, 7)
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 7)
    rows = usable_rows(pack, "validation")
    random = np.random.default_rng(0)
    probability_NK = random.dirichlet(np.ones(7), len(rows)).astype(np.float32)
    found = evaluation(probability_NK, rows)
    predicted_N = probability_NK.argmax(axis=1)
    assert found["accuracy"] == accuracy_score(rows.label_N, predicted_N)
    assert found["top5_accuracy"] == top_k_accuracy_score(rows.label_N, probability_NK, k=5)
    assert loss_of(probability_NK, rows.label_N) == pytest.approx(
        log_loss(rows.label_N, probability_NK / probability_NK.sum(1, keepdims=True)), rel=1e-5
    )
    confusion = np.array(found["confusion"])
    assert confusion.sum() == len(rows)
    assert confusion.trace() / len(rows) == pytest.approx(found["accuracy"])
    for k, one in enumerate(found["per_class"]):
        assert one["recall"] == pytest.approx(confusion[k, k] / max(1, confusion[k].sum()))
        assert one["precision"] == pytest.approx(confusion[k, k] / max(1, confusion[:, k].sum()))
    worst = found["most_wrong"][0]
    wrong = predicted_N != rows.label_N
    assert worst["probability"] == pytest.approx(probability_NK.max(axis=1)[wrong].max())
    place = list(rows.row_N).index(worst["row"])
    assert worst["row_id"] == pack.row_id_N[worst["row"]]
    assert worst["predicted"] == pack.classes[predicted_N[place]]
    assert worst["label"] == pack.classes[rows.label_N[place]]


def test_calibration_by_hand(tmp_path: Path) -> None:
    """Half sure and always right, quite sure and half right: (0.5 + 0.4) / 2."""
    label_N = np.zeros(50, np.int64)
    label_N[-10:] = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    label_N[:40:2] = 1
    rows = usable_rows(make_pack(tmp_path / "a.h5", np.zeros((50, 2)), label_N, 2), "validation")
    half, sure = [[0.51, 0.49], [0.49, 0.51]], [[0.9, 0.1], [0.9, 0.1]]
    probability_NK = np.array(half + half + half[:1] + sure[:1] + sure + sure, np.float32)
    found = evaluation(probability_NK, rows)
    # rows 0 to 4 at 0.51 are right; of rows 5 to 9 at 0.9 the labels are 1, 0, 1, 0, 1
    assert found["calibration_error"] == pytest.approx((5 * 0.49 + 5 * (0.9 - 0.4)) / 10, abs=1e-6)
    assert [one["rows"] for one in found["reliability"]] == [5, 5]
    assert found["roc_auc"] == pytest.approx(roc_auc_score(rows.label_N, probability_NK[:, 1]))


def planted(tmp_path: Path, copies: int = 3, noise_level: float = 0.0) -> Any:
    """Rows of train once more at the end of validation, as equal or similar images."""
    features_ND, label_N = clouds(400, 30, 4)
    features_ND[-copies:], label_N[-copies:] = features_ND[:copies], label_N[:copies]
    spread_D = features_ND.std(axis=0)
    random = np.random.default_rng(5)
    features_ND[-copies:] += noise_level * spread_D * random.normal(size=(copies, 30))
    manifest = replace(plain_manifest(400, 4), label_N=label_N)
    if noise_level == 0:
        hash_NH = manifest.hash_NH.copy()
        hash_NH[-copies:] = hash_NH[:copies]
        manifest = replace(manifest, hash_NH=hash_NH)
    write_pack(tmp_path / "a.h5", manifest, features_ND.astype(np.float32))
    return open_pack(tmp_path / "a.h5")


def test_planted_duplicates_are_reported(tmp_path: Path) -> None:
    pack = planted(tmp_path)
    _, metrics = scored(pack, "knn", k=1)
    found = metrics["trust"]
    assert (found["exact_duplicates"], found["near_duplicates"]) == (3, 0)
    assert found["with_all"]["accuracy"] == metrics["validation_accuracy"]
    assert found["with_all"]["rows"] == 80
    without = found["without_exact_duplicates"]
    assert without["rows"] == 77
    right = round(found["with_all"]["accuracy"] * 80)
    assert without["accuracy"] == pytest.approx((right - 3) / 77), "a copy is always right"
    pairs = {(one["validation"], one["train"]) for one in found["duplicate_pairs"]}
    assert pairs == {(f"ä/{397 + i}.png", f"ä/{i}.png") for i in range(3)}


def test_near_duplicates_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = planted(tmp_path, noise_level=0.1)
    _, metrics = scored(pack, "centroid")
    found = metrics["trust"]
    assert (found["exact_duplicates"], found["near_duplicates"]) == (0, 3)
    assert found["without_near_duplicates"]["rows"] == 77
    assert found["near_duplicates_compared"] == 80
    assert {one["train"] for one in found["duplicate_pairs"]} == {f"ä/{i}.png" for i in range(3)}
    assert all(one["cosine"] > trust.NEAR for one in found["duplicate_pairs"])
    monkeypatch.setattr(trust, "MULTIPLICATIONS", 320 * 30 * 8)
    assert scored(pack, "centroid")[1]["trust"]["near_duplicates_compared"] == 8


def tracks(rows: int) -> list[str]:
    """As GTSRB's, 10 frames a track, 20 tracks a class; validation begins in the middle of one."""
    return [f"train/{i // 200:05d}/{i // 10:05d}_{i % 10:05d}.ppm" for i in range(rows)]


def test_groups_stay_together_and_are_reported(tmp_path: Path) -> None:
    features_ND, _ = clouds(600, 12, 3)
    pack = make_pack(tmp_path / "a.h5", features_ND, np.arange(600) // 200, 3, tracks(600))
    rows = usable_rows(pack, "train")
    group_N = groups_of(rows)
    assert group_N is not None
    assert group_N[0] == "00000/00000"
    fold_N = folds_of(rows.label_N, group_N, 2, seed=0)
    assert all(len(set(fold_N[group_N == group])) == 1 for group in np.unique(group_N))
    for label in range(3):
        share = (fold_N[rows.label_N == label] == 0).mean()
        assert 0.4 <= share <= 0.6, "stratified all the same"
    ids = tracks(600)
    mixed = ids[:475] + ids[485:600] + ids[475:485]  # two tracks, half of each on each side
    order = [ids.index(name) for name in mixed]
    label_N = np.arange(600)[order] // 200
    pack = make_pack(tmp_path / "b.h5", features_ND, label_N, 3, mixed)
    _, metrics = scored(pack, "centroid")
    found = metrics["trust"]
    assert found["groups_on_both_sides"] == 2
    assert found["rows_of_groups_on_both_sides"] == 10
    assert found["without_groups_on_both_sides"]["rows"] == 110


def test_other_names_carry_no_groups(tmp_path: Path) -> None:
    features_ND, label_N = clouds(60, 5, 3)
    for number, ids in enumerate(
        (
            [f"train/cat/{i:05d}.png" for i in range(60)],
            [f"train/cat/{i:05d}_00001.png" for i in range(60)],
            [f"train/cat/photo_{i}.png" for i in range(60)],
        )
    ):
        pack = make_pack(tmp_path / f"{number}.h5", features_ND, label_N, 3, ids)
        assert groups_of(usable_rows(pack, "train")) is None
        assert "groups_on_both_sides" not in scored(pack, "centroid")[1]["trust"]


def test_folds_are_stratified_as_scikit_learns() -> None:
    label_N = np.random.default_rng(0).integers(0, 7, 500)
    fold_N = folds_of(label_N, None, 5, seed=3)
    peers = StratifiedKFold(5).split(label_N[:, None], label_N)
    counts = [np.bincount(label_N[held], minlength=7) for _, held in peers]
    for fold in range(5):
        assert np.abs(np.bincount(label_N[fold_N == fold], minlength=7) - counts[0]).max() <= 1
    assert not np.array_equal(fold_N, folds_of(label_N, None, 5, seed=4))


def test_planted_wrong_labels_are_suspect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features_ND, label_N = clouds(500, 20, 4, spread=0.3)
    wrong = [5, 77, 123, 300]
    label_N[wrong] = (label_N[wrong] + 1) % 4
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 4)
    monkeypatch.setattr(noise, "L2", 10.0)
    rows = usable_rows(pack, "train")
    found = noise.label_suspects(rows, RUN)
    assert {one["row"] for one in found["surest"][:3]} <= set(wrong)
    assert found["rows"] == 400
    assert 3 <= found["suspects"] <= 8
    monkeypatch.setattr(noise, "ROWS", 100)
    assert noise.label_suspects(rows, RUN)["rows"] == 100
