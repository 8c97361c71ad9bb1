"""What heads and networks say of images and of rows, over HTTP."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import sklearn.datasets
import torch
import torchvision
from PIL import Image

from cache import eviction, networks
from cache.catalogue import Catalogue
from cache.database import Database
from cache.identity import sha256_file
from cache.job import NewJob
from cache.jobs import Jobs
from cache.recipe import Tap
from cache.sight import EVERYTHING, UNOWNED
from cache.store import Store
from service.routes import predictions
from tests.serving import PAIR, Serving, images, serving, wait, worker_running, zipped
from tests.test_labs import official_weights
from tests.working import plain_network, recipe_of, working
from worker.loop import step
from worker.tasks import QUICK

MINE = PAIR | {"weights": "random:31"}
"""Packs of these tests alone: others count the heads on theirs."""


@pytest.fixture(scope="module")
def pack(served: Serving) -> dict[str, Any]:
    found: dict[str, Any] = wait(served, MINE)
    return found


@pytest.fixture(scope="module")
def head(served: Serving, pack: dict[str, Any]) -> str:
    return train(served, pack)


def train(served: Serving, pack: dict[str, Any], epochs: int = 20) -> str:
    body = {"pack_id": pack["pack_id"], "params": {"epochs": epochs, "rate": 0.01}}
    head_id: str = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})["head_id"]
    return head_id


@pytest.fixture
def catalogue(served: Serving) -> Iterator[Catalogue]:
    database = Database(served.store.database_url)
    yield Catalogue(database)
    database.close()


def validation_images(served: Serving) -> list[Path]:
    assert served.store.data_root
    return sorted((served.store.data_root / "set" / "validation").rglob("*.png"))


def of_images(served: Serving, path: str, paths: list[Path]) -> list[dict[str, Any]]:
    files = [(each.name, each.read_bytes()) for each in paths]
    found: list[dict[str, Any]] = served.upload(path, 200, file=files)["result"]["predictions"]
    return found


def of_rows(served: Serving, head: str, body: dict[str, Any], top: int = 2) -> list[dict[str, Any]]:
    job = served.post(f"/v1/heads/{head}/predict?top={top}", body)
    found: list[dict[str, Any]] = job["result"]["predictions"]
    return found


def by_class(prediction: dict[str, Any]) -> dict[str, float]:
    return {one["class"]: one["probability"] for one in prediction["classes"]}


# --- with a head ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("stored", "bound"), [("float32", 1e-5), ("float16", 1e-4)])
def test_an_image_is_predicted_as_its_row_is(served: Serving, stored: str, bound: float) -> None:
    """Where a value lies between two of float16's, its last bit of float32 decides which."""
    head = train(served, wait(served, MINE | {"numerics": {"stored": stored}}))
    paths = validation_images(served)
    row_ids = [f"validation/{path.parent.name}/{path.name}" for path in paths]
    rows = of_rows(served, head, {"row_id": row_ids})
    uploaded = of_images(served, f"/v1/heads/{head}/predict?top=2", paths)
    assert [row["name"] for row in rows] == row_ids
    assert [row["label"] for row in rows] == [path.parent.name for path in paths]
    for path, row, image in zip(paths, rows, uploaded, strict=True):
        assert image["name"] == path.name
        assert by_class(image) == pytest.approx(by_class(row), abs=bound)
    assert len({row["classes"][0]["probability"] for row in rows}) > 4, "rows that differ"


def test_rows_are_predicted_from_the_pack_alone(
    served: Serving, pack: dict[str, Any], head: str
) -> None:
    """The same by hand, from the file and the weights; in the order that was asked for."""
    weights = np.load(io.BytesIO(served.http.get(f"/v1/heads/{head}/weights").content))
    with h5py.File(served.store.pack(pack["pack_id"])) as file:
        logits = file["features"][[3, 30]] @ weights["weight"] + weights["bias"]
    probability = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    last, first = of_rows(served, head, {"rows": [30, 3]})
    assert (last["row"], first["row"]) == (30, 3)
    for row, expected in ((first, probability[0]), (last, probability[1])):
        assert [by_class(row)[name] for name in pack["classes"]] == pytest.approx(
            expected, abs=1e-4
        )
        assert {one["index"] for one in row["classes"]} == {0, 1}


def test_rows_are_chosen_as_everywhere(served: Serving, head: str) -> None:
    assert len(of_rows(served, head, {})) == 31
    assert [row["row"] for row in of_rows(served, head, {"split": "validation", "stop": 2})] == [
        22,
        23,
    ]
    pears = of_rows(served, head, {"split": "train", "label": ["梨"], "sample": 4, "seed": 1})
    assert [row["label"] for row in pears] == ["梨"] * 4
    assert of_rows(served, head, {"rows": []}) == []
    (one,) = of_rows(served, head, {"rows": [0]}, top=1)
    assert len(one["classes"]) == 1
    path = f"/v1/heads/{head}/predict"
    assert "'test'" in served.post(path, {"split": "test"}, 404)["detail"]
    assert "out of range" in served.post(path, {"rows": [31]}, 422)["detail"]
    assert "nonsense" in served.post(path, {"nonsense": 1}, 422)["detail"]


def test_rows_without_an_image_have_no_classes(served: Serving) -> None:
    members = {f"train/{n % 2}/{n}.png": data for n, data in enumerate(images(8))}
    archive = zipped(members | {"train/0/broken.png": b"no image"})
    served.upload("/v1/datasets", name="torn", file=("torn.zip", archive))
    head = train_only(served, wait(served, MINE | {"dataset": "torn"}))
    found = {row["name"]: row for row in of_rows(served, head, {})}
    broken = found.pop("train/0/broken.png")
    assert (broken["valid"], broken["classes"]) == (False, [])
    assert all(row["valid"] and len(row["classes"]) == 2 for row in found.values())


def train_only(served: Serving, pack: dict[str, Any]) -> str:
    body = {"pack_id": pack["pack_id"], "validation": None, "params": {"epochs": 1}}
    head_id: str = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})["head_id"]
    return head_id


def test_an_evicted_pack_is_missed_for_rows_and_not_for_images(
    served: Serving, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = MINE | {"transform": {"preset": "stretch", "size": 72}}
    pack = wait(served, pair)
    head, paths = train(served, pack), validation_images(served)[:2]
    before = of_images(served, f"/v1/heads/{head}/predict", paths)
    monkeypatch.setattr(eviction, "IN_USE_SECONDS", -60)
    assert eviction.evict(catalogue, served.store, pack["pack_id"])
    assert of_images(served, f"/v1/heads/{head}/predict", paths) == before
    problem = served.post(f"/v1/heads/{head}/predict", {"rows": [0]}, 404)
    assert pack["pack_id"] in problem["detail"]
    assert "evicted" in problem["detail"]
    assert "POST /v1/jobs" in problem["remedy"]
    assert wait(served, pair)["pack_id"] == pack["pack_id"]
    assert len(of_rows(served, head, {"rows": [0]})) == 1, "it is built again, and all is well"


def test_what_cannot_be_predicted_is_refused(
    served: Serving, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/heads/{head}/predict"
    assert "no image was sent" in served.upload(path, 422, other="x")["detail"]
    assert "no image was sent" in served._json(served.http.post(path), 422)["detail"]
    assert "top" in served.post(f"{path}?top=0", {}, 422)["detail"]
    monkeypatch.setattr(predictions, "MAX_CLASSES_ANSWERED", 20)
    assert "at most 10 images" in served.post(f"{path}?top=2", {}, 413)["remedy"]
    assert len(of_rows(served, head, {"stop": 10})) == 10
    few = [("a.png", data) for data in images(5)]
    assert "at most 4 images" in served.upload(path, 413, file=few)["remedy"]
    assert list((served.store.root / "incoming").iterdir()) == []


# --- with the network itself ---------------------------------------------------------------------


def test_every_network_ends_in_the_scores_of_imagenet() -> None:
    for name in networks.names():
        info = networks.get(name)
        assert info.feature_shape(info.output_layer, "none") == (1000,), name


def test_a_network_classifies_as_torchvision_does(served: Serving) -> None:
    """Whole networks of torchvision's own, through its own transform, against ours."""
    paths = validation_images(served)[:3]
    kept = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    plain, transform = plain_network("squeezenet1_1", 7), kept.transforms()
    batch = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])
    with torch.inference_mode():
        probability_NK = plain(batch).softmax(dim=1)
    url = "/v1/networks/squeezenet1_1/classify?weights=random:7"
    for expected_K, prediction in zip(probability_NK, of_images(served, url, paths), strict=True):
        best = expected_K.topk(5)
        for place, one in enumerate(prediction["classes"]):
            assert one["index"] == int(best.indices[place])
            assert one["class"] == kept.meta["categories"][one["index"]]
            assert one["probability"] == pytest.approx(float(best.values[place]), abs=1e-5)


def test_what_cannot_be_classified_is_refused(served: Serving, tmp_path: Path) -> None:
    file = ("a.png", images(1)[0])
    served.upload("/v1/networks/resnet51/classify", 404, file=file)
    path = "/v1/networks/squeezenet1_1/classify"
    assert "'nope'" in served.upload(f"{path}?weights=nope", 404, file=file)["detail"]
    features = "/v1/networks/vgg16/classify?weights=IMAGENET1K_FEATURES"
    problem = served.upload(features, 422, file=file)
    assert "cannot tell ImageNet's 1,000 classes" in problem["detail"]
    problem = served.upload(f"{path}?weights=random:0", 422, file=("b.png", b"no image"))
    assert "b.png" in problem["detail"]
    state = plain_network("squeezenet1_1", 3).state_dict()
    partial = {key: value for key, value in state.items() if key.startswith("features.")}
    fewer = state | {"classifier.1.weight": torch.zeros(10, 512, 1, 1)}
    for name, checkpoint in (("partial.pth", partial), ("fewer.pth", fewer)):
        torch.save(checkpoint, tmp_path / name)
        data = (tmp_path / name).read_bytes()
        kept = served.upload("/v1/weights", network="squeezenet1_1", file=(name, data))
        problem = served.upload(f"{path}?weights={kept['weights']}", 422, file=file)
        assert "classifier.1.weight" in problem["detail"]
        assert "train a head" in problem["remedy"]


def test_a_file_without_the_classifier_is_refused_by_the_worker(
    store: Store, tmp_path: Path
) -> None:
    state = plain_network("squeezenet1_1", 3).state_dict()
    path = tmp_path / "features.pth"
    torch.save({key: value for key, value in state.items() if "features." in key}, path)
    tap = Tap(networks.get("squeezenet1_1").output_layer)
    recipe = recipe_of("squeezenet1_1", tap, weights=f"sha256:{sha256_file(path)}")
    spec = {"recipe": recipe.as_dict(), "uploads": [], "top": 5}
    with working(store, weights_dir=tmp_path) as context:
        jobs = Jobs(context.database)
        job = jobs.enqueue(NewJob("classify", "classify:1", spec, UNOWNED))
        step(context, QUICK)
        error = jobs.get(job.id, EVERYTHING).error
    assert error
    assert "classifier.1.weight is missing" in error["detail"]
    assert error["remedy"].startswith("use weights with a classifier")


def test_real_weights_know_a_real_palace(store: Store) -> None:
    """A photograph that scikit-learn carries; torchvision by hand says 0.6922."""
    photograph = Path(sklearn.datasets.__file__).parent / "images" / "china.jpg"
    with serving(store) as service, worker_running(store, weights_dir=official_weights()):
        url = "/v1/networks/mobilenet_v2/classify?top=3"
        (prediction,) = of_images(service, url, [photograph])
    assert prediction["classes"][0]["class"] == "palace"
    assert prediction["classes"][0]["probability"] == pytest.approx(0.6922, abs=1e-3)
