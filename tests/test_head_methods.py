"""Every method against scikit-learn or arithmetic, on clouds and on scikit-learn's digits."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from cache.errors import InvalidRequest, TooLarge
from cache.pack import Pack, open_pack
from service import head_requests
from tests.manifests import plain_manifest
from tests.test_pack import write_pack
from worker.heads import linear, matrix, ridge
from worker.heads import rows as rows_module
from worker.heads.file import KnnHead, LinearHead
from worker.heads.linear import STRENGTHS, LinearParams, train_linear
from worker.heads.matrix import Matrix, Standard
from worker.heads.method import Run
from worker.heads.methods import METHODS
from worker.heads.rows import usable_rows
from worker.heads.threads import threads_for
from worker.heads.training import splits_of, train_and_score

RUN = Run(torch.device("cpu"), lambda _: None)


def make_pack(
    path: Path,
    features: np.ndarray,
    label_N: np.ndarray,
    classes: int,
    ids: list[str] | None = None,
) -> Pack:
    """The last fifth is validation."""
    manifest = replace(plain_manifest(len(features), classes), label_N=label_N)
    if ids is not None:
        manifest = replace(manifest, row_id_N=ids)
    write_pack(path, manifest, features.astype(np.float32))
    return open_pack(path)


def clouds(rows: int, width: int, classes: int, spread: float = 0.9) -> tuple[Any, Any]:
    random = np.random.default_rng(2)
    label_N = np.arange(rows) % classes
    centre_KD = random.normal(size=(classes, width))
    scale_D = random.uniform(0.1, 30, width)
    noise_ND = spread * np.sqrt(width) / 3 * random.normal(size=(rows, width))
    return (centre_KD[label_N] + noise_ND) * scale_D + 7 * scale_D, label_N


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    """Real images: 1,797 of 8 × 8 pixels, three of them always black in their corner."""
    images = load_digits()
    return make_pack(
        tmp_path_factory.mktemp("digits") / "a.h5", images.data, images.target.astype(np.int64), 10
    )


def scored(pack: Pack, method: str, **params: Any) -> tuple[Any, dict[str, Any]]:
    train, validation = splits_of(pack, "train", "validation")
    return train_and_score(method, params, train, validation, replace(RUN, watched=validation))


@pytest.mark.parametrize(
    ("method", "least"),
    [
        ("lab", 0.7),
        ("linear", 0.88),
        ("ridge", 0.85),
        ("knn", 0.95),
        ("mlp", 0.88),
        ("centroid", 0.8),
    ],
)
def test_real_digits_are_told_apart(digits: Pack, method: str, least: float) -> None:
    params = {"hidden": (256,)} if method == "mlp" else {}
    _, metrics = scored(digits, method, **params)
    assert metrics["validation_accuracy"] >= least
    assert metrics["validation_loss"] < 1.5
    json.dumps(metrics, allow_nan=False)


@pytest.mark.parametrize("l2", [0.1, 10.0, 1000.0])
@pytest.mark.parametrize("shape", [(400, 30, 5), (300, 20, 2), (150, 400, 4)])
def test_linear_is_scikit_learns_logistic_regression(
    tmp_path: Path, shape: tuple[int, int, int], l2: float
) -> None:
    """Same data, same L2: the loss within 1e-4, and 99.9 % of predictions; two classes, too, and
    rows that are wider than there are of them."""
    features_ND, label_N = clouds(*shape)
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, shape[2])
    rows = usable_rows(pack, "train")
    head = train_linear(rows, LinearParams(l2=l2), RUN).head
    assert isinstance(head, LinearHead)
    raw_ND = rows.load()
    scaler = StandardScaler().fit(raw_ND.astype(np.float64))
    standard_ND = scaler.transform(raw_ND.astype(np.float64))
    peer = LogisticRegression(C=1 / l2, tol=1e-10, max_iter=10_000).fit(standard_ND, rows.label_N)

    def penalised(probability_NK: np.ndarray, square: float) -> float:
        of_label_N = probability_NK[np.arange(len(rows)), rows.label_N]
        return float(-np.log(of_label_N.astype(np.float64)).sum() + l2 / 2 * square)

    weight_DK = head.weight_DK.astype(np.float64) * scaler.scale_[:, None]
    if shape[2] == 2:
        weight_DK = weight_DK[:, 1:] - weight_DK[:, :1]
    probability_NK = head.probabilities(raw_ND)
    ours = penalised(probability_NK, float(np.square(weight_DK).sum()))
    theirs = penalised(peer.predict_proba(standard_ND), float(np.square(peer.coef_).sum()))
    assert ours == pytest.approx(theirs, rel=1e-4)
    same = probability_NK.argmax(axis=1) == peer.predict(standard_ND)
    assert same.mean() >= 0.999


def test_each_strength_of_a_sweep_is_solved(digits: Pack) -> None:
    """Together and warm-started, they end where each does alone."""
    rows = usable_rows(digits, "train")
    standard, present = Standard.of(rows), linear.Present.of(rows)
    l2 = [1000.0, 3.0, 30.0, 10_000.0]
    together = linear.solve(rows, present, standard, l2, 1e-6, RUN, {})
    for one, (weight_LD, bias_L) in zip(l2, together, strict=True):
        ((alone_LD, alone_L),) = linear.solve(rows, present, standard, [one], 1e-6, RUN, {})
        torch.testing.assert_close(weight_LD, alone_LD, atol=2e-3, rtol=1e-2)
        torch.testing.assert_close(
            bias_L - bias_L.mean(), alone_L - alone_L.mean(), atol=2e-2, rtol=1e-2
        )


def test_the_sweep_never_reads_validation_labels(digits: Pack) -> None:
    """Permuted, they change scores, and neither the sweep nor the head; nor do its features."""
    start, stop = digits.splits["validation"]
    labels_N, features = digits.labels_N.copy(), np.array(digits.features)
    random = np.random.default_rng(0)
    labels_N[start:stop] = random.permutation(labels_N[start:stop])
    features[start:stop] = random.permutation(features[start:stop])
    other = replace(digits, labels_N=labels_N, features=features)
    for method in ("linear", "ridge", "knn"):
        (head, one), (same, two) = scored(digits, method), scored(other, method)
        assert one["sweep"] == two["sweep"]
        assert one["chosen"] == two["chosen"]
        assert one["validation_accuracy"] > two["validation_accuracy"] + 0.5
        for name in ("weight_DK", "features_MD"):
            if hasattr(head, name):
                np.testing.assert_array_equal(getattr(head, name), getattr(same, name))


def test_a_sweep_tells_every_strength_and_takes_the_best(digits: Pack) -> None:
    _, metrics = scored(digits, "linear")
    assert tuple(one["l2"] for one in metrics["sweep"]) == STRENGTHS
    best = max(metrics["sweep"], key=lambda one: (one["accuracy"], -one["loss"]))
    assert metrics["chosen"]["l2"] == best["l2"]
    _, metrics = scored(digits, "linear", l2=(1.0, 1e6))
    assert metrics["chosen"] == {"l2": 1.0, "at_the_end_of_the_sweep": True}
    _, metrics = scored(digits, "linear", l2=5.0)
    assert not {"sweep", "chosen"} & metrics.keys()


@pytest.mark.parametrize("method", METHODS)
def test_equal_seeds_give_equal_heads(digits: Pack, method: str) -> None:
    params = {"epochs": 2} if method in ("lab", "mlp") else {}
    if method == "mlp":
        params["hidden"] = (32,)
    (one, _), (same, _) = scored(digits, method, **params), scored(digits, method, **params)
    rows_ND = np.array(digits.features[:50])
    np.testing.assert_array_equal(one.probabilities(rows_ND), same.probabilities(rows_ND))


@pytest.mark.parametrize("shape", [(300, 20, 3), (60, 200, 3)])
def test_ridge_is_scikit_learns(tmp_path: Path, shape: tuple[int, int, int]) -> None:
    """Scores and leave-one-out, with fewer values than rows and with more."""
    features_ND, label_N = clouds(*shape)
    rows = usable_rows(make_pack(tmp_path / "a.h5", features_ND, label_N, shape[2]), "train")
    found = ridge.train_ridge(rows, ridge.RidgeParams(l2=(50.0, 500.0)), RUN)
    standard_ND = StandardScaler().fit_transform(rows.load().astype(np.float64))
    target_NK = np.eye(shape[2])[rows.label_N]
    for told in found.story["sweep"]:
        right = 0
        for row in range(len(rows)):
            rest = np.arange(len(rows)) != row
            one = Ridge(alpha=told["l2"]).fit(standard_ND[rest], target_NK[rest])
            right += int(one.predict(standard_ND[row : row + 1]).argmax() == rows.label_N[row])
        assert told["accuracy"] == pytest.approx(right / len(rows), abs=1e-9)
    chosen = Ridge(alpha=found.story["chosen"]["l2"]).fit(standard_ND, target_NK)
    probability_NK = found.head.probabilities(rows.load())
    score_NK = chosen.predict(standard_ND)
    logit_NK = np.log(probability_NK) - np.log(probability_NK[:, :1])
    difference_NK = score_NK - score_NK[:, :1]
    factor = (logit_NK * difference_NK).sum() / np.square(difference_NK).sum()
    np.testing.assert_allclose(logit_NK, factor * difference_NK, atol=2e-2 * np.abs(logit_NK).max())


def test_knn_leaves_each_row_out(digits: Pack) -> None:
    rows = usable_rows(digits, "train")
    trained = METHODS["knn"].train(rows, METHODS["knn"].of({"k": [1, 4]}), RUN)
    head = trained.head
    assert isinstance(head, KnnHead)
    peer = KNeighborsClassifier(2, metric="cosine", algorithm="brute").fit(
        rows.load(), rows.label_N
    )
    nearest_N2 = peer.kneighbors(return_distance=False)  # of rows that are not their own neighbour
    right = (rows.label_N[nearest_N2[:, 0]] == rows.label_N).mean()
    assert trained.story["sweep"][0]["accuracy"] == pytest.approx(right, abs=2e-3)


def test_centroid_is_the_nearest_mean(digits: Pack) -> None:
    rows = usable_rows(digits, "train")
    head = METHODS["centroid"].train(rows, METHODS["centroid"].of({}), RUN).head
    standard_ND = StandardScaler().fit_transform(rows.load())
    centre_KD = np.stack([standard_ND[rows.label_N == k].mean(axis=0) for k in range(10)])
    nearest_N = np.linalg.norm(standard_ND[:, None] - centre_KD, axis=2).argmin(axis=1)
    same = head.probabilities(rows.load()).argmax(axis=1) == nearest_N
    assert same.mean() >= 0.999


def test_standardising_is_scikit_learns_and_folds_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Block by block, with a column that never changes and one far from zero."""
    features_ND, label_N = clouds(300, 12, 3)
    features_ND[:, 3], features_ND[:, 4] = 5.0, 1000 + features_ND[:, 4]
    rows = usable_rows(make_pack(tmp_path / "a.h5", features_ND, label_N, 3), "train")
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 12 * 4 * 37)
    assert len(list(rows.spans())) == 7
    standard, peer = Standard.of(rows), StandardScaler().fit(rows.load().astype(np.float64))
    np.testing.assert_allclose(standard.mean_D, peer.mean_, rtol=1e-6)
    np.testing.assert_allclose(standard.scale_D, peer.scale_, rtol=1e-5)


def test_rows_that_do_not_fit_are_read_in_blocks(
    digits: Pack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same head, whether its rows are kept or read again for each product."""
    rows = usable_rows(digits, "train")
    params = LinearParams(l2=100.0)
    kept = train_linear(rows, params, RUN).head.probabilities(rows.load())
    raw_ND = rows.load()
    monkeypatch.setattr(matrix, "MEMORY_BYTES", 1000)
    monkeypatch.setattr(rows_module, "MEMORY_BYTES", 1000)
    monkeypatch.setattr(rows_module, "BLOCK_BYTES", 64 * 4 * 100)
    assert len(list(Matrix(rows, Standard.of(rows), RUN.device).blocks())) == 15
    read = train_linear(rows, params, RUN).head.probabilities(raw_ND)
    np.testing.assert_allclose(read, kept, atol=1e-4)
    with pytest.raises(TooLarge, match="more memory than this method"):
        METHODS["knn"].train(rows, METHODS["knn"].of({}), RUN)


def test_a_class_without_rows_is_never_predicted(tmp_path: Path) -> None:
    features_ND, label_N = clouds(200, 10, 3)
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 5)
    for method in ("linear", "ridge", "centroid", "knn"):
        head, _ = scored(pack, method)
        assert head.probabilities(np.array(pack.features))[:, 3:].max() < 0.2


def test_a_label_that_validation_alone_has_is_refused(tmp_path: Path) -> None:
    features_ND, label_N = clouds(200, 10, 3)
    label_N[-1] = 4
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 5)
    with pytest.raises(InvalidRequest, match="'Klasse 4 类'"):
        splits_of(pack, "train", "validation")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("row", [3, 199])
def test_features_that_are_no_numbers_are_refused(tmp_path: Path, value: float, row: int) -> None:
    features_ND, label_N = clouds(200, 10, 3)
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 3)
    features_ND[row, 4] = value
    pack = replace(pack, features=features_ND.astype(np.float32))  # no pack is written with such
    for method in METHODS:
        with pytest.raises(InvalidRequest, match=f"row {row} .* NaN or infinite"):
            scored(pack, method, **({"epochs": 1} if method in ("lab", "mlp") else {}))


def test_what_a_method_cannot_take_is_said(digits: Pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "LOGITS", 1000)
    monkeypatch.setattr(ridge, "WIDEST", 10)
    for method in ("linear", "ridge"):
        with pytest.raises(TooLarge):
            scored(digits, method)


def test_defaults_over_http_are_those_of_the_worker() -> None:
    for name, method in METHODS.items():
        asked = getattr(head_requests, f"{name.capitalize()}Params")()
        ours = method.of(asked.model_dump(exclude_none=True))
        assert ours == method.params()
        assert {field.name for field in fields(method.params)} == asked.model_dump().keys()


def test_a_thousand_rows_take_less_than_a_second(tmp_path: Path) -> None:
    """Everything but HTTP, on a loaded machine, in the processor's time of one core."""
    features_ND, label_N = clouds(1000, 1280, 10)
    pack = make_pack(tmp_path / "a.h5", features_ND, label_N, 10)
    scored(pack, "linear")
    began = time.thread_time()
    scored(pack, "linear")
    assert time.thread_time() - began < 1.0


def test_a_small_head_is_trained_on_one_core_and_nothing_else() -> None:
    usual = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with threads_for(1000):
            with ThreadPoolExecutor(1) as other:
                assert other.submit(torch.get_num_threads).result() == 3
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with threads_for(10**9):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(usual)
