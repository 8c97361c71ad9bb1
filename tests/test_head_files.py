"""The kinds of heads and their file, checked with plain NumPy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from cache.errors import CorruptData
from worker.heads.file import Head, KnnHead, LinearHead, MlpHead, load, save, unit_rows

CLASSES = ("Äpfel", "梨", "c")
random = np.random.default_rng(3)
FEATURES_ND = random.normal(size=(40, 8)).astype(np.float32)


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


HEADS: dict[str, Head] = {
    "linear": LinearHead(*arrays((8, 3), (3,)), CLASSES),
    "mlp": MlpHead((tuple(arrays((8, 5), (5,))), tuple(arrays((5, 3), (3,)))), CLASSES),
    "knn": KnnHead(unit_rows(FEATURES_ND[:30]), np.arange(30) % 3, 5, CLASSES),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_comes_back_as_it_was(tmp_path: Path, kind: str) -> None:
    save(tmp_path / "head.tmp", HEADS[kind])
    loaded = load(tmp_path / "head.tmp")
    assert type(loaded) is type(HEADS[kind])
    assert loaded.classes == CLASSES
    expected_NK = HEADS[kind].probabilities(FEATURES_ND)
    np.testing.assert_array_equal(loaded.probabilities(FEATURES_ND), expected_NK)
    assert (expected_NK.shape, expected_NK.dtype) == ((40, 3), np.float32)
    np.testing.assert_allclose(expected_NK.sum(axis=1), 1, rtol=1e-5)


def test_plain_numpy_reads_a_linear_head(tmp_path: Path) -> None:
    head = HEADS["linear"]
    save(tmp_path / "head.npz", head)
    saved = np.load(tmp_path / "head.npz", allow_pickle=False)
    assert (str(saved["kind"]), saved["classes"].tolist()) == ("linear", list(CLASSES))
    exponents_NK = np.exp(FEATURES_ND @ saved["weight"] + saved["bias"])
    expected_NK = exponents_NK / exponents_NK.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(head.probabilities(FEATURES_ND), expected_NK, rtol=1e-4)


def test_a_file_without_a_kind_is_linear(tmp_path: Path) -> None:
    """As they were written before there were kinds."""
    weight_DK, bias_K = arrays((8, 3), (3,))
    np.savez(tmp_path / "old.npz", weight=weight_DK, bias=bias_K, classes=np.array(CLASSES))
    head = load(tmp_path / "old.npz")
    assert isinstance(head, LinearHead)
    np.testing.assert_array_equal(head.weight_DK, weight_DK)


def test_an_mlp_has_relu_between_its_layers_only() -> None:
    eye = np.eye(2, dtype=np.float32)
    zero = np.zeros(2, np.float32)
    head = MlpHead(((eye, zero), (-eye, zero)), ("a", "b"))
    probabilities_NK = head.probabilities(np.array([[-5, 1]], np.float32))
    np.testing.assert_allclose(probabilities_NK, [[1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))]])


def test_knn_votes_as_scikit_learn_does() -> None:
    head = HEADS["knn"]
    assert isinstance(head, KnnHead)
    peer = KNeighborsClassifier(head.k, metric="cosine").fit(FEATURES_ND[:30], head.label_M)
    votes_NK = peer.predict_proba(FEATURES_ND) * head.k
    np.testing.assert_allclose(
        head.probabilities(FEATURES_ND), (votes_NK + 1 / 3) / (head.k + 1), rtol=1e-5
    )


def test_rows_of_any_shape_are_flattened() -> None:
    for head in HEADS.values():
        np.testing.assert_array_equal(
            head.probabilities(FEATURES_ND.reshape(40, 2, 2, 2)), head.probabilities(FEATURES_ND)
        )


@pytest.mark.parametrize("damage", ["junk", "cut", "array", "kind"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "head.npz"
    save(path, HEADS["linear"])
    match damage:
        case "junk":
            path.write_bytes(b"junk")
        case "cut":
            path.write_bytes(path.read_bytes()[:300])
        case "array":
            with path.open("wb") as file:
                np.save(file, np.zeros(3))
        case "kind":
            np.savez(path, kind="tree", classes=np.array(CLASSES))
    with pytest.raises(CorruptData, match=r"head\.npz"):
        load(path)


def test_a_missing_file_is_not_a_damaged_one(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")
