"""The kinds of heads, and the file that keeps one: a NumPy ``.npz`` without pickle.

    classes  text [K]        the pack's classes, in the order of the columns
    kind     text            linear, mlp or knn
    format_version  text     1
    linear:  weight float32 [D, K], bias float32 [K]
    mlp:     weight_0 float32 [D, H], bias_0 float32 [H], weight_1 …, ReLU between them
    knn:     features float32 [M, D], each row of length one; label int64 [M]; k int64

Files of before there were kinds have no ``kind`` and are linear; the first ones have no
``format_version``. Shapes: N rows, D values in a row, K classes, M rows that knn remembers,
I inputs and O outputs of a layer.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache import formats
from cache.errors import CorruptData

Floats = npt.NDArray[np.float32]

BLOCK_ROWS = 1024
"""Rows of which knn compares at once: its similarities of 1,024 × 50,000 rows take 200 MB."""


@dataclass(frozen=True)
class LinearHead:
    """softmax(features · weight + bias). A standardisation is within weight and bias."""

    weight_DK: Floats
    bias_K: Floats
    classes: tuple[str, ...]

    def probabilities(self, features_ND: Floats) -> Floats:
        """float32 [N, D] or [N, …] → float32 [N, K]."""
        return softmax(flat(features_ND) @ self.weight_DK + self.bias_K)


@dataclass(frozen=True)
class MlpHead:
    """Dense layers with ReLU between them and softmax at the end."""

    layers: tuple[tuple[Floats, Floats], ...]
    """weight_IO and bias_O of each."""
    classes: tuple[str, ...]

    def probabilities(self, features_ND: Floats) -> Floats:
        """float32 [N, D] or [N, …] → float32 [N, K]."""
        hidden_NI = flat(features_ND)
        for weight_IO, bias_O in self.layers[:-1]:
            hidden_NI = np.maximum(hidden_NI @ weight_IO + bias_O, 0)
        weight_IO, bias_O = self.layers[-1]
        return softmax(hidden_NI @ weight_IO + bias_O)


@dataclass(frozen=True)
class KnnHead:
    """The votes of the ``k`` remembered rows that are nearest by cosine."""

    features_MD: Floats
    """Each of length one."""
    label_M: npt.NDArray[np.int64]
    k: int
    classes: tuple[str, ...]

    def probabilities(self, features_ND: Floats) -> Floats:
        """float32 [N, D] or [N, …] → float32 [N, K]."""
        features_ND = flat(features_ND)
        blocks = [
            self._votes(features_ND[first : first + BLOCK_ROWS])
            for first in range(0, len(features_ND), BLOCK_ROWS)
        ]
        return shares(np.concatenate(blocks), self.k)

    def _votes(self, features_BD: Floats) -> Floats:
        similarity_BM = unit_rows(features_BD) @ self.features_MD.T
        k = min(self.k, len(self.label_M))
        nearest_Bk = np.argpartition(-similarity_BM, k - 1, axis=1)[:, :k]
        votes_BK = np.zeros((len(features_BD), len(self.classes)), np.float32)
        np.add.at(votes_BK, (np.arange(len(features_BD))[:, None], self.label_M[nearest_Bk]), 1)
        return votes_BK


Head = LinearHead | MlpHead | KnnHead


def flat(features: npt.NDArray[Any]) -> Floats:
    """Rows of any shape and float → float32 [N, D]."""
    return np.asarray(features, np.float32).reshape(len(features), -1)


def unit_rows(features_ND: Floats) -> Floats:
    """Each row divided by its length; a row of zeros stays one."""
    length_N1 = np.linalg.norm(features_ND, axis=1, keepdims=True)
    return np.asarray(features_ND / np.where(length_N1 > 0, length_N1, 1), np.float32)


def shares(votes_NK: Floats, k: int) -> Floats:
    """Votes of k neighbours as probabilities: with one vote more, spread over all classes.

    Without that vote a class that no neighbour has would be impossible, and one mistake an
    infinite loss.
    """
    return (votes_NK + np.float32(1 / votes_NK.shape[1])) / np.float32(k + 1)


def softmax(logits_NK: Floats) -> Floats:
    """Rows that sum to one."""
    exponents_NK = np.exp(logits_NK - logits_NK.max(axis=1, keepdims=True))
    return np.asarray(exponents_NK / exponents_NK.sum(axis=1, keepdims=True), np.float32)


def save(path: Path, head: Head) -> None:
    """Write a head to exactly this path, whatever its name ends in."""
    with path.open("wb") as file:
        version = str(formats.HEAD)  # text, so that it is metadata in safetensors
        classes = np.array(head.classes, str)
        np.savez(file, format_version=version, classes=classes, **_arrays(head))


def _arrays(head: Head) -> dict[str, Any]:
    match head:
        case LinearHead():
            return {"kind": "linear", "weight": head.weight_DK, "bias": head.bias_K}
        case MlpHead():
            layers: dict[str, Floats] = {}
            for number, (weight_IO, bias_O) in enumerate(head.layers):
                layers |= {f"weight_{number}": weight_IO, f"bias_{number}": bias_O}
            return {"kind": "mlp"} | layers
        case KnnHead():
            return {
                "kind": "knn",
                "features": head.features_MD,
                "label": head.label_M,
                "k": np.int64(head.k),
            }


def load(path: Path) -> Head:
    """The head in a file.

    Raises:
        FileNotFoundError: no such file.
        CorruptData: the file is not a head's.
        Unreachable: its format is newer.
    """
    try:
        with path.open("rb") as file:  # np.load would not close a bad one
            saved = np.load(file, allow_pickle=False)
            version = int(str(saved["format_version"])) if "format_version" in saved.files else 1
            formats.refuse_newer(f"the head {path.name}", version, formats.HEAD)
            return _head({name: saved[name] for name in saved.files})
    except FileNotFoundError:
        raise
    except (AttributeError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise CorruptData(
            f"{path.name} is not a readable head: {error}",
            value=path.name,
            remedy="train the head again",
        ) from error


def _head(saved: dict[str, npt.NDArray[Any]]) -> Head:
    classes = tuple(str(name) for name in saved["classes"])
    match str(saved.get("kind", "linear")):
        case "linear":
            return LinearHead(saved["weight"], saved["bias"], classes)
        case "mlp":
            depth = sum(name.startswith("weight_") for name in saved)
            layers = tuple((saved[f"weight_{n}"], saved[f"bias_{n}"]) for n in range(depth))
            return MlpHead(layers, classes)
        case "knn":
            return KnnHead(saved["features"], saved["label"], int(saved["k"]), classes)
        case kind:
            raise ValueError(f"no kind of head is called {kind!r}")
