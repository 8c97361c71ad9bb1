"""Packs over HTTP: formats, selections, the file, verification, the labs' files."""

from __future__ import annotations

import io
import pickle
from typing import Any

import h5py
import numpy as np
import pytest

from tests.serving import Serving, images


def test_the_pack_says_what_it_is(served: Serving, pack: dict[str, Any]) -> None:
    assert served.get(f"/v1/packs/{pack['pack_id']}")["etag"] == pack["etag"]
    assert pack["classes"] == ["Äpfel", "梨"]
    assert pack["splits"] == {"train": [0, 22], "validation": [22, 31]}
    assert pack["row_shape"] == [512]
    assert pack["provenance"]["certificate"]["largest_error"] <= 1e-4
    listed = served.get("/v1/packs?network=squeezenet1_1&dataset=set")["items"]
    assert pack["pack_id"] in [item["pack_id"] for item in listed]
    assert served.get("/v1/packs?network=vgg16")["items"] == []


def test_formats_agree_with_the_file(served: Serving, pack: dict[str, Any]) -> None:
    base = f"/v1/packs/{pack['pack_id']}"
    with h5py.File(io.BytesIO(served.http.get(f"{base}/file").content)) as file:
        features, labels = file["features"][:], file["labels"][:]
    raw = served.http.get(f"{base}/features")
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["x-featurepack-shape"] == "31,512"
    assert raw.headers["x-featurepack-dtype"] == "<f4"
    assert raw.content == features.tobytes()
    npy = served.http.get(f"{base}/features", headers={"Accept": "application/x-npy"})
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), features)
    text = served.get(f"{base}/features?format=json&start=3&stop=5")
    np.testing.assert_array_equal(np.array(text["features"], np.float32), features[3:5])
    assert text["labels"] == labels[3:5].tolist()
    npy = served.http.get(f"{base}/labels?format=npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), labels)


def test_selections(served: Serving, pack: dict[str, Any]) -> None:
    base = f"/v1/packs/{pack['pack_id']}"
    with h5py.File(served.store.pack(pack["pack_id"])) as file:
        features, labels = file["features"][:], file["labels"][:]

    def rows(query: str) -> np.ndarray:
        reply = served.http.get(f"{base}/features?format=npy&{query}")
        assert reply.status_code == 200, reply.text
        return np.load(io.BytesIO(reply.content))

    np.testing.assert_array_equal(rows("split=validation"), features[22:])
    np.testing.assert_array_equal(rows("split=validation&start=2&stop=4"), features[24:26])
    np.testing.assert_array_equal(rows("label=梨"), features[labels == 1])
    np.testing.assert_array_equal(rows("label=0&split=train&stop=5"), features[:5])
    assert rows("start=4&stop=4").shape == (0, 512)
    body = {"rows": [30, 0, 0]}
    listed = served.http.post(f"{base}/rows?format=npy", json=body)
    np.testing.assert_array_equal(np.load(io.BytesIO(listed.content)), features[[30, 0, 0]])
    index = served.get(f"{base}/index?split=validation&stop=1")["rows"][0]
    assert index["row_id"] == "validation/Äpfel/000.png"
    assert (index["row"], index["label"], index["valid"]) == (22, 0, True)


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("split=test", 404, "test"),
        ("label=Birne", 404, "Birne"),
        ("label=2", 404, "2"),
        ("start=5&stop=3", 422, "start 5"),
        ("stop=32", 422, "31 rows"),
        ("start=-1", 422, "-1"),
        ("split=validation&stop=10", 422, "9 rows"),
        ("start=x", 422, "start"),
        ("format=xml", 422, "xml"),
    ],
)
def test_wrong_selections_are_problems(
    served: Serving, pack: dict[str, Any], query: str, status: int, named: str
) -> None:
    problem = served.get(f"/v1/packs/{pack['pack_id']}/features?{query}", status)
    assert named in problem["detail"]


def test_wrong_row_lists_and_formats(served: Serving, pack: dict[str, Any]) -> None:
    base = f"/v1/packs/{pack['pack_id']}"
    assert "row 31" in served.post(f"{base}/rows", {"rows": [31]}, 422)["detail"]
    assert "100001 rows" in served.post(f"{base}/rows", {"rows": [0] * 100_001}, 413)["detail"]
    served.get(f"{base}/features", 422, headers={"Accept": "text/html"})
    served.get("/v1/packs/nope/features", 404)


def test_the_file_can_be_resumed(served: Serving, pack: dict[str, Any]) -> None:
    path = f"/v1/packs/{pack['pack_id']}/file"
    whole = served.http.get(path)
    assert whole.headers["etag"] == f'"{pack["etag"]}"'
    assert ".h5" in whole.headers["content-disposition"]
    rest = served.http.get(path, headers={"Range": "bytes=1000-", "If-Range": f'"{pack["etag"]}"'})
    assert rest.status_code == 206
    assert rest.content == whole.content[1000:]
    assert served.http.get(path, headers={"Range": "bytes=99999999-"}).status_code == 416
    unchanged = served.http.get(path, headers={"If-None-Match": f'"{pack["etag"]}"'})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    head = served.http.head(path)
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.content == b""


def test_labs_files_become_a_pack_on_which_heads_train(served: Serving) -> None:

    random = np.random.default_rng(0)

    def lab_file(count: int, column: bool) -> bytes:
        labels = np.arange(count) % 3
        features = random.normal(size=(count, 1, 1, 512)) * 0.1
        features[np.arange(count), 0, 0, labels] += 9
        content = {
            "features": features.astype(np.float32),
            "labels": labels[:, None] if column else labels,
        }
        return pickle.dumps(content, protocol=2)

    pack = served.upload(
        "/v1/packs/import",
        network="vgg",
        dataset="cifar10",
        train=("vgg_cifar10_100_bottleneck_features_train.p", lab_file(90, True)),
        validation=("vgg_cifar10_bottleneck_features_validation.p", lab_file(30, False)),
    )
    assert pack["imported"] is True
    assert pack["row_shape"] == [512]
    assert pack["splits"] == {"train": [0, 90], "validation": [90, 120]}
    body = {"pack_id": pack["pack_id"], "params": {"rate": 0.01}}
    head = served.post("/v1/heads", body, headers={"Prefer": "wait=30"})
    assert head["metrics"]["validation_accuracy"] > 0.9
    problem = served.upload(
        f"/v1/heads/{head['head_id']}/predict", 422, file=("a.png", images(1)[0])
    )
    assert "recipe" in problem["detail"]
    for wrong in (b"cos\nsystem\n(S'true'\ntR.", b"", pickle.dumps({"x": np.ones(3)})):
        served.upload("/v1/packs/import", 422, network="vgg", dataset="d", train=("t.p", wrong))
