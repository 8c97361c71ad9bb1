"""The HTTP contract, end to end inside one process: real images, real extraction, real heads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache.store import Store
from tests.conftest import png, write_image_folder
from tests.serving import Serving, serving, worker_running

PAIR = {
    "network": "squeezenet1_1",
    "dataset": "set",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 64},
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service and a worker that the tests of this file share, with one dataset."""
    root = tmp_path_factory.mktemp("served")
    store = Store(root / "store", root / "data").create()
    splits = {"train": {"Äpfel": 12, "梨": 10}, "validation": {"Äpfel": 4, "梨": 5}}
    write_image_folder(root / "data" / "set", splits)
    with serving(store) as service, worker_running(store):
        source = {"kind": "folder", "path": "set"}
        service.post("/v1/datasets", {"name": "set", "source": source}, 201)
        yield service


@pytest.fixture(scope="module")
def pack(served: Serving) -> dict[str, Any]:
    return wait(served, PAIR)


def wait(served: Serving, body: dict[str, Any], status: int = 200) -> Any:
    return served.post("/v1/jobs", body, status, headers={"Prefer": "wait=60"})


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def images(count: int, seed: int = 0) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [png(random, 16, 0) for _ in range(count)]


def test_networks(served: Serving) -> None:
    names = {item["name"] for item in served.get("/v1/networks")["items"]}
    assert {"vgg16", "inception_v3", "resnet50", "googlenet", "alexnet"} <= names
    assert len(names) == 80
    resnet = served.get("/v1/networks/resnet")
    assert resnet["name"] == "resnet50"
    assert resnet["default_tap"] == {"layer": "flatten", "pool": "none"}
    assert resnet["feature_shape"] == [2048]
    assert resnet["layers"]["layer4.2.relu_2"] == [2048, 7, 7]
    problem = served.get("/v1/networks/resnet51", 404)
    assert "resnet50" in problem["remedy"]


def test_a_pair_is_queued_built_and_then_cached(served: Serving) -> None:
    body = PAIR | {"weights": "random:77"}
    estimate = served.post("/v1/jobs/estimate", body)["items"][0]
    assert (estimate["cached"], estimate["rows_to_compute"]) == (False, 31)
    response = served.http.post("/v1/jobs", json=body)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert served.post("/v1/jobs", body, 202)["id"] == job["id"]
    ended = served.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
    assert ended["state"] == "succeeded"
    assert ended["result"]["rows"] == 31
    cached = served.http.post("/v1/jobs", json=body)
    assert cached.status_code == 200
    assert cached.json()["pack_id"] == job["pack_id"] == estimate["pack_id"]
    assert cached.json()["hits"] == 1
    estimate = served.post("/v1/jobs/estimate", body)["items"][0]
    assert (estimate["cached"], estimate["rows_to_compute"]) == (True, 0)


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


def test_several_taps_of_one_request(served: Serving) -> None:
    taps = ["features.7.cat:avg", {"layer": "features", "pool": "max"}, {"pool": "avg"}]
    body = PAIR | {"weights": "random:5", "taps": taps}
    items = wait(served, body)["items"]
    assert [item["object"] for item in items] == ["pack"] * 3
    assert [item["row_shape"] for item in items] == [[256], [512], [512]]
    assert [item["recipe"]["tap"]["pool"] for item in items] == ["avg", "max", "avg"]


def test_a_view_is_another_pack_and_the_same_one_again(served: Serving) -> None:
    one = wait(served, PAIR | {"view": {"per_class": 3, "seed": 1}})
    assert one["splits"] == {"train": [0, 6], "validation": [6, 15]}
    again = served.post("/v1/jobs", PAIR | {"view": {"per_class": 3, "seed": 1}})
    assert again["pack_id"] == one["pack_id"]
    other = wait(served, PAIR | {"view": {"per_class": 3, "seed": 2}})
    assert other["pack_id"] != one["pack_id"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"network": "resnet51"}, 404, "resnet51"),
        ({"dataset": "fish"}, 404, "fish"),
        ({"dataset": "set@7"}, 404, "set@7"),
        ({"weights": "IMAGENET1K_V9"}, 404, "IMAGENET1K_V9"),
        ({"weights": "sha256:" + "0" * 64}, 404, "0" * 64),
        ({"weights": "nope.pth"}, 404, "nope.pth"),
        ({"weights": "../../etc/passwd.pth"}, 404, "passwd"),
        ({"weights": "random:x"}, 422, "random:x"),
        ({"tap": "features.99"}, 404, "features.99"),
        ({"tap": {"layer": "features", "pool": "median"}}, 422, "pool"),
        ({"tap": {"layer": "flatten", "pool": "avg"}}, 422, "flatten"),
        ({"tap": "features", "taps": ["features"]}, 422, "tap"),
        ({"taps": []}, 422, "taps"),
        ({"transform": "crop"}, 422, "preset"),
        ({"transform": {"size": [8, 8, 8]}}, 422, "size"),
        ({"transform": {"size": 5000}}, 422, "5000"),
        ({"transform": {"preset": "stretch", "size": 4}}, 422, "[4, 4]"),
        ({"transform": {"crop": [300, 300]}}, 422, "crop"),
        ({"numerics": {"compute": "int8"}}, 422, "compute"),
        ({"view": {"per_class": 11}}, 422, "梨"),
        ({"view": {"per_class": 0}}, 422, "per_class"),
        ({"view": {"validation": 0.5}}, 422, "validation"),
        ({"on_error": "ignore"}, 422, "on_error"),
        ({"batch_size": 7}, 422, "batch_size"),
        ({"transform": {"std": [1e-30, 1, 1]}}, 422, "std"),
        ({"priority": 101}, 422, "priority"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_wrong_submissions_are_problems_and_queue_nothing(
    served: Serving, change: dict[str, Any], status: int, named: str
) -> None:
    before = len(served.get("/v1/jobs?limit=500")["items"])
    problem = served.post("/v1/jobs", PAIR | change, status)
    assert named in problem["detail"]
    served.post("/v1/jobs/estimate", PAIR | change, status)
    assert len(served.get("/v1/jobs?limit=500")["items"]) == before


def test_bodies_that_are_no_json_or_too_large(served: Serving) -> None:
    for body, named in (
        (b"{", "no JSON"),
        (b'{"network": "vgg16", "dataset": "set", "view": {"validation": NaN}}', "validation"),
        (
            b'{"network": "vgg16", "dataset": "set", "transform": {"mean": [Infinity, 0, 0]}}',
            "mean",
        ),
        (b'{"network": "vgg16", "dataset": "\\ud800"}', "surrogate"),
        (b'{"network": "\\ud800", "dataset": "set"}', "surrogate"),
    ):
        headers = {"Content-Type": "application/json"}
        broken = served.http.post("/v1/jobs", content=body, headers=headers)
        assert broken.status_code == 422, body
        assert named in broken.json()["detail"]
    for path in ("/v1/jobs", "/v1/datasets"):
        large = served.http.post(path, content=b" " * (9 << 20))
        assert large.status_code == 413
        assert large.json()["remedy"]
    assert served.http.get("/nowhere").json()["status"] == 404
    assert served.http.put("/v1/jobs").json()["status"] == 405


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
    assert len(served.get(f"/v1/heads?pack_id={pack['pack_id']}")["items"]) == 2
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


def test_uploads_become_versions(served: Serving) -> None:
    one, two, three = images(3)
    members = {"train/a/1.png": one, "train/b/1.png": two}
    first = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert (first["version"], first["splits"]) == (1, {"train": 2})
    same = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert same["version"] == 1
    members["train/b/2.png"] = three
    second = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert (second["version"], second["rows"]) == (2, 3)
    shown = served.get("/v1/datasets/mine")
    assert (shown["version"], shown["versions"]) == (2, [2, 1])
    assert served.get("/v1/datasets/mine@1")["rows"] == 2
    pack = wait(served, PAIR | {"dataset": "mine@1"})
    assert pack["rows"] == 2
    assert served.http.delete("/v1/datasets/mine").status_code == 204
    served.get("/v1/datasets/mine", 404)
    assert served.get(f"/v1/packs/{pack['pack_id']}")["rows"] == 2, "packs outlive their dataset"
    assert list((served.store.root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file", "status"),
    [
        ("x", ("a.zip", zipped({"train/../../a.png": b"x"})), 422),
        ("x", ("a.zip", zipped({"/a/b.png": b"x"})), 422),
        ("x", ("a.zip", zipped({"readme.txt": b"no images"})), 422),
        ("x", ("a.zip", zipped({"train/a/1.png": b"x" * 9999})[:-40]), 422),
        ("x", ("a.bin", b"what is this"), 422),
        ("x", ("a.p", b"cos\nsystem\n(S'true'\ntR."), 422),
        ("../x", ("a.zip", zipped({"train/a/1.png": b"x"})), 422),
        ("", ("a.zip", zipped({"train/a/1.png": b"x"})), 422),
    ],
    ids=["dots", "absolute", "empty", "truncated", "unknown", "pickle", "name", "no name"],
)
def test_wrong_uploads_are_problems_and_leave_nothing(
    served: Serving, name: str, file: tuple[str, bytes], status: int
) -> None:
    before = sorted(served.store.root.rglob("*"))
    served.upload("/v1/datasets", status, name=name, file=file)
    assert sorted(p for p in served.store.root.rglob("*") if ".db" not in p.name) == [
        p for p in before if ".db" not in p.name
    ]
    served.get("/v1/datasets/x", 404)


def test_names_in_any_language(served: Serving) -> None:
    members = {"train/猫/ねこ.png": images(1)[0], "train/हाथी/1.png": images(1, 2)[0]}
    made = served.upload("/v1/datasets", name="кошки", file=("к.zip", zipped(members)))
    assert made["classes"] == ["हाथी", "猫"]
    assert served.get("/v1/datasets/кошки")["dataset_id"] == made["dataset_id"]
    pack = wait(served, PAIR | {"dataset": "кошки"})
    file = served.http.get(f"/v1/packs/{pack['pack_id']}/file")
    assert file.status_code == 200
    index = served.get(f"/v1/packs/{pack['pack_id']}/index")
    assert [row["row_id"] for row in index["rows"]] == ["train/हाथी/1.png", "train/猫/ねこ.png"]


def test_an_unlabelled_dataset_has_no_classes_to_take(served: Serving) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((4, 8, 8), np.uint8))
    served.upload("/v1/datasets", name="bare", file=("bare.npz", buffer.getvalue()))
    problem = served.post("/v1/jobs", PAIR | {"dataset": "bare", "view": {"per_class": 1}}, 422)
    assert "no labels" in problem["detail"]
    assert list((served.store.root / "building").iterdir()) == []


def test_wrong_sources_are_problems(served: Serving) -> None:
    def register(source: dict[str, Any], status: int) -> str:
        return str(served.post("/v1/datasets", {"name": "y", "source": source}, status)["detail"])

    assert "nowhere" in register({"kind": "folder", "path": "nowhere"}, 404)
    assert "leads out" in register({"kind": "folder", "path": "../store"}, 422)
    assert "absolute" in register({"kind": "folder", "path": "/etc"}, 422)
    assert "imagenet" in register({"kind": "torchvision", "name": "imagenet"}, 404)
    assert "ftp" in register({"kind": "ftp"}, 422)
    assert "digits" in register({"kind": "builtin", "name": "digitz"}, 422)
    served.get("/v1/datasets/y", 404)


def test_uploads_beyond_the_limit_are_refused(store: Store) -> None:
    with serving(store, max_upload_bytes=10_000) as service:
        problem = service.upload("/v1/datasets", 413, name="big", file=("a.zip", b"0" * 20_000))
        assert problem["value"] > 10_000
        assert list((store.root / "incoming").iterdir()) == []


def test_labs_files_become_a_pack_on_which_heads_train(served: Serving) -> None:
    import pickle

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


def test_checkpoints_are_checked_when_they_are_uploaded(served: Serving, tmp_path: Path) -> None:
    import torch

    from tests.working import plain_network

    state = plain_network("squeezenet1_1", 3).state_dict()
    partial = {key: value for key, value in state.items() if key.startswith("features.")}
    del partial["features.12.expand3x3.weight"]
    torch.save(partial, tmp_path / "partial.pth")
    data = (tmp_path / "partial.pth").read_bytes()
    kept = served.upload("/v1/weights", network="squeezenet1_1", file=("partial.pth", data))
    assert kept["unavailable_layers"]["features.12.cat"] == "features.12.expand3x3.weight"
    body = PAIR | {"weights": kept["weights"]}
    problem = served.post("/v1/jobs", body, 422)
    assert "features.12.expand3x3.weight" in problem["detail"]
    pack = wait(served, body | {"tap": "features.11:avg"})
    assert pack["row_shape"] == [512]
    whole = wait(served, PAIR | {"weights": "random:3", "tap": "features.11:avg"})
    assert whole["pack_id"] != pack["pack_id"]
    with (
        h5py.File(served.store.pack(pack["pack_id"])) as one,
        h5py.File(served.store.pack(whole["pack_id"])) as other,
    ):
        np.testing.assert_array_equal(one["features"][:], other["features"][:])
    problem = served.upload("/v1/weights", 422, network="resnet18", file=("partial.pth", data))
    assert "resnet18" in problem["detail"]
    cut = served.upload("/v1/weights", 422, network="squeezenet1_1", file=("t.pth", data[:5000]))
    assert cut["detail"].startswith("t.pth is cut off")
    served.upload("/v1/weights", 404, network="resnet51", file=("t.pth", data))
    assert list((served.store.root / "incoming").iterdir()) == []


def test_a_flipped_weight_bit_is_another_pack(served: Serving, tmp_path: Path) -> None:
    import torch

    from tests.working import plain_network

    state = plain_network("squeezenet1_1", 3).state_dict()
    ids = []
    for step in (0.0, 1e-7):
        state["features.0.bias"][0] += step
        torch.save(state, tmp_path / "w.pth")
        data = (tmp_path / "w.pth").read_bytes()
        kept = served.upload("/v1/weights", network="squeezenet1_1", file=("w.pth", data))
        ids.append(
            served.post("/v1/jobs/estimate", PAIR | {"weights": kept["weights"]})["items"][0][
                "pack_id"
            ]
        )
    assert ids[0] != ids[1]


def test_verify_finds_damage(served: Serving) -> None:
    pack = wait(served, PAIR | {"weights": "random:9"})
    path = f"/v1/packs/{pack['pack_id']}/verify"
    job = served.post(path, None, headers={"Prefer": "wait=30"})
    assert job["state"] == "succeeded"
    file = served.store.pack(pack["pack_id"])
    file.chmod(0o644)
    data = bytearray(file.read_bytes())
    data[-5000] ^= 4
    file.write_bytes(data)
    problem = served.post(path, None, 422, headers={"Prefer": "wait=30"})
    assert pack["pack_id"] in problem["detail"]
    assert served.http.delete(f"/v1/packs/{pack['pack_id']}").status_code == 204
    assert not file.exists()
    served.get(f"/v1/packs/{pack['pack_id']}", 404)


def test_broken_images_are_named_in_the_result(served: Serving) -> None:
    good, bad = images(1)[0], b"\x89PNG broken"
    members = {"train/a/1.png": good, "train/a/2.png": bad, "train/b/3.png": images(1, 4)[0]}
    served.upload("/v1/datasets", name="broken", file=("m.zip", zipped(members)))
    body = PAIR | {"dataset": "broken"}
    problem = wait(served, body | {"on_error": "fail"}, 422)
    assert problem["value"] == "train/a/2.png"
    pack = wait(served, body)
    assert pack["invalid_rows"] == ["train/a/2.png"]
    problem = served.post("/v1/jobs", body | {"on_error": "fail"}, 422)
    assert problem["value"] == ["train/a/2.png"]


def test_events_tell_the_story_of_a_job(served: Serving) -> None:
    job = served.post("/v1/jobs", PAIR | {"weights": "random:21"}, 202)
    with served.http.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last["state"] == "succeeded"
    assert last["id"] == job["id"]


def test_jobs_without_a_worker(store: Store) -> None:
    """Queued jobs can be seen and cancelled; readiness says that nobody works."""
    assert store.data_root is not None
    with serving(store) as service:
        assert service.get("/healthz") == {"status": "alive"}
        assert "no worker" in service.get("/readyz", 503)["detail"]
        body = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        job = service.post("/v1/datasets", body, 202, headers={"Prefer": "respond-async"})
        assert job["state"] == "queued"
        assert service.post(f"/v1/jobs/{job['id']}/cancel")["state"] == "cancelled"
        assert service.post(f"/v1/jobs/{job['id']}/cancel")["state"] == "cancelled"
        service.get("/v1/jobs/nope", 404)
        service.get("/v1/jobs/nope/events", 404)
        service.post("/v1/jobs/nope/cancel", None, 404)
        service.get("/v1/jobs?cursor=bad", 422)
        assert service.get("/v1/jobs?state=cancelled&kind=ingest")["items"][0]["id"] == job["id"]


def test_openapi_has_examples_and_no_warnings(served: Serving) -> None:
    document = served.get("/openapi.json")
    assert document["components"]["schemas"]["JobRequest"]["examples"]
    assert {"/v1/jobs", "/v1/packs/{pack_id}/features", "/v1/heads"} <= document["paths"].keys()
    answers = document["paths"]["/v1/jobs"]["post"]["responses"]
    assert {"200", "202", "default"} == answers.keys()
    assert "application/problem+json" in answers["default"]["content"]
    operations = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(operations) == len(set(operations))
    assert served.http.get("/docs").status_code == 200
