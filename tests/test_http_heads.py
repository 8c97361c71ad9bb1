"""Heads over HTTP: trained, kept, used, and what is refused."""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np
import pytest

from tests.serving import Serving
from worker.heads.file import load


def test_heads_are_trained_kept_and_used(served: Serving, pack: dict[str, Any]) -> None:
    body = {"pack_id": pack["pack_id"], "params": {"epochs": 7, "rate": 0.01}}
    head = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})
    metrics = head["metrics"]
    assert len(metrics["curves"]) == 7
    assert (metrics["train_rows"], metrics["validation_rows"]) == (22, 9)
    again = served.post("/v1/heads", body)
    assert (again["head_id"], again["created"]) == (head["head_id"], head["created"])
    other = served.post("/v1/heads", body | {"params": {"epochs": 8}}, headers={"Prefer": "wait=9"})
    assert other["head_id"] != head["head_id"]
    listed = [one["head_id"] for one in served.get(f"/v1/heads?pack_id={pack['pack_id']}")["items"]]
    assert (listed.count(head["head_id"]), listed.count(other["head_id"])) == (1, 1)
    assert served.get(f"/v1/heads/{head['head_id']}") == head
    weights = np.load(io.BytesIO(served.http.get(f"/v1/heads/{head['head_id']}/weights").content))
    assert weights["weight"].shape == (512, 2)
    assert weights["classes"].tolist() == ["Äpfel", "梨"]

    path = served.store.data_root / "set/validation/梨/001.png"  # type: ignore[operator]
    with h5py.File(served.store.pack(pack["pack_id"])) as file:
        row = list(file["row_id"].asstr()).index("validation/梨/001.png")
        logits = file["features"][row] @ weights["weight"] + weights["bias"]
    probability = np.exp(logits - logits.max())
    probability /= probability.sum()
    job = served.upload(
        f"/v1/heads/{head['head_id']}/predict?top=2", 200, file=("b.png", path.read_bytes())
    )
    (prediction,) = job["result"]["predictions"]
    assert prediction["name"] == "b.png"
    got = {one["class"]: one["probability"] for one in prediction["classes"]}
    assert got["梨"] == pytest.approx(probability[1], abs=1e-3)
    problem = served.upload(
        f"/v1/heads/{head['head_id']}/predict", 422, file=("b.png", b"no image")
    )
    assert "b.png" in problem["detail"]


def test_wrong_heads_are_problems(served: Serving, pack: dict[str, Any]) -> None:
    body = {"pack_id": pack["pack_id"]}
    assert "nope" in served.post("/v1/heads", {"pack_id": "nope"}, 404)["detail"]
    assert "'test'" in served.post("/v1/heads", body | {"validation": "test"}, 404)["detail"]
    assert "epochs" in served.post("/v1/heads", body | {"params": {"epochs": 0}}, 422)["detail"]
    assert "method" in served.post("/v1/heads", body | {"method": "svm"}, 422)["detail"]
    served.get("/v1/heads/nope", 404)
    served.get("/v1/heads/nope/weights", 404)
    served.upload("/v1/heads/nope/predict", 404, file=("a.png", b"x"))


@pytest.mark.parametrize("damage", ["cut", "junk", "gone"])
def test_a_damaged_head_is_said_to_be_and_trained_again(
    served: Serving, pack: dict[str, Any], damage: str
) -> None:
    body = {"pack_id": pack["pack_id"], "params": {"epochs": 3}}
    head = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})
    path = served.store.head(head["head_id"])
    sound = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(sound[:300] if damage == "cut" else b"junk")
    predict = f"/v1/heads/{head['head_id']}/predict"
    problem = served.upload(predict, 422, file=("a.png", b"x"))
    assert "damaged or gone" in problem["detail"]
    assert "train the head again" in problem["remedy"]
    again = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})
    assert again["head_id"] == head["head_id"]
    assert again["created"] > head["created"]
    assert path.read_bytes()[:4] == sound[:4]


@pytest.mark.parametrize(
    ("method", "params", "kind"),
    [
        ("linear", {"l2": [10, 1000.0]}, "linear"),
        ("ridge", {"l2": 50}, "linear"),
        ("knn", {"k": [1, 3]}, "knn"),
        ("mlp", {"hidden": [16], "epochs": 2}, "mlp"),
        ("centroid", {}, "linear"),
    ],
)
def test_every_method_is_trained_and_predicts(
    served: Serving, pack: dict[str, Any], method: str, params: dict[str, Any], kind: str
) -> None:
    """A prediction on an uploaded image is the one of its row."""
    body = {"pack_id": pack["pack_id"], "method": method, "params": params}
    head = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})
    assert head["method"] == method
    metrics = head["metrics"]
    low, high = metrics["validation_interval"]
    assert low <= metrics["validation_accuracy"] <= high
    assert metrics["evaluation"]["roc_auc"] is not None
    assert metrics["trust"]["exact_duplicates"] == 0
    assert ("sweep" in metrics) == (method in ("linear", "knn"))
    content = served.http.get(f"/v1/heads/{head['head_id']}/weights").content
    assert str(np.load(io.BytesIO(content))["kind"]) == kind
    (listed,) = [
        one for one in served.get("/v1/heads")["items"] if one["head_id"] == head["head_id"]
    ]
    assert listed["metrics"]["validation_accuracy"] == metrics["validation_accuracy"]
    assert not {"evaluation", "trust", "sweep", "label_noise"} & listed["metrics"].keys()

    name = "validation/梨/001.png"
    path = served.store.data_root / "set" / name  # type: ignore[operator]
    with h5py.File(served.store.pack(pack["pack_id"])) as file:
        row = file["features"][list(file["row_id"].asstr()).index(name)]
    expected = load(served.store.head(head["head_id"])).probabilities(row[None])[0]
    job = served.upload(
        f"/v1/heads/{head['head_id']}/predict", 200, file=("b.png", path.read_bytes())
    )
    got = {one["class"]: one["probability"] for one in job["result"]["predictions"][0]["classes"]}
    assert got["梨"] == pytest.approx(expected[1], abs=1e-3)


@pytest.mark.parametrize(
    ("method", "params", "said"),
    [
        ("linear", {"epochs": 3}, "params.epochs"),
        ("linear", {"l2": []}, "params.l2"),
        ("linear", {"l2": [1, 0]}, "params.l2"),
        ("ridge", {"l2": "strong"}, "params.l2"),
        ("knn", {"k": 0}, "params.k"),
        ("knn", {"k": [[1]]}, "params.k"),
        ("mlp", {"dropout": 1}, "params.dropout"),
        ("mlp", {"hidden": []}, "params.hidden"),
        ("centroid", {"seed": 1}, "params.seed"),
        ("svm", {}, "method is one of lab, linear"),
        (["lab"], {}, "method is one of lab, linear"),
    ],
)
def test_settings_of_no_method_are_problems(
    served: Serving, pack: dict[str, Any], method: Any, params: dict[str, Any], said: str
) -> None:
    body = {"pack_id": pack["pack_id"], "method": method, "params": params}
    assert said in served.post("/v1/heads", body, 422)["detail"]
