"""Heads as files over HTTP: NumPy, safetensors, ONNX."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import safetensors
import safetensors.numpy

from cache.catalogue import Catalogue
from cache.database import Database
from cache.identity import hash_file
from cache.recipe import Recipe
from cache.upkeep import sweep
from tests.serving import Serving, wait
from tests.test_http_predictions import MINE, by_class, of_images, train, validation_images
from worker.heads.file import KnnHead, LinearHead, MlpHead, save
from worker.pixels.images import decode
from worker.pixels.transforms import apply


@pytest.fixture(scope="module")
def pack(served: Serving) -> dict[str, Any]:
    found: dict[str, Any] = wait(served, MINE)
    return found


@pytest.fixture(scope="module")
def head(served: Serving, pack: dict[str, Any]) -> str:
    return train(served, pack, epochs=21)  # of which nobody has made a file before


def test_a_head_is_sent_as_numpy_or_safetensors(
    served: Serving, pack: dict[str, Any], head: str, tmp_path: Path
) -> None:
    path = f"/v1/heads/{head}/weights"
    plain, chosen = served.http.get(path), served.http.get(f"{path}?format=safetensors")
    asked = served.http.get(path, headers={"Accept": "application/x-safetensors"})
    assert plain.headers["content-type"] == "application/x-npz"
    assert f'filename="head_{head}.npz"' in plain.headers["content-disposition"]
    assert asked.headers["content-type"] == "application/x-safetensors"
    assert f'filename="head_{head}.safetensors"' in asked.headers["content-disposition"]
    assert asked.content == chosen.content
    arrays = np.load(io.BytesIO(plain.content))
    tensors = safetensors.numpy.load(asked.content)
    assert tensors.keys() == {"weight", "bias"}
    for name, values in tensors.items():
        np.testing.assert_array_equal(values, arrays[name])
    (tmp_path / "a.safetensors").write_bytes(asked.content)
    with safetensors.safe_open(tmp_path / "a.safetensors", "numpy") as file:
        about = file.metadata()
    assert json.loads(about["classes"]) == pack["classes"]
    assert (about["kind"], about["head_id"]) == ("linear", head)
    assert Recipe.from_dict(json.loads(about["recipe"])).recipe_id == pack["recipe_id"]
    problem = served.get(f"{path}?format=pickle", 422)
    assert "npz, safetensors" in problem["remedy"]
    served.get("/v1/heads/nope/weights?format=safetensors", 404)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("kind", ["linear", "mlp", "knn"])
def test_safetensors_of_every_kind_of_head(
    served: Serving, head: str, kind: str, order: Any
) -> None:
    path, random = served.store.head(head), np.random.default_rng(0)
    kept = path.read_bytes()

    def array(*shape: int) -> Any:
        return np.asarray(random.normal(size=shape), np.float32, order=order)

    heads = {
        "linear": LinearHead(array(5, 3), array(3), ("a", "b", "c")),
        "mlp": MlpHead(((array(5, 4), array(4)), (array(4, 3), array(3))), ("a", "b", "c")),
        "knn": KnnHead(array(9, 5), np.arange(9) % 3, 4, ("a", "b", "c")),
    }
    try:
        save(path, heads[kind])
        tensors = safetensors.numpy.load(
            served.http.get(f"/v1/heads/{head}/weights?format=safetensors").content
        )
        arrays = np.load(io.BytesIO(path.read_bytes()))
        assert tensors.keys() == {n for n in arrays.files if arrays[n].dtype.kind != "U"}
        for name, values in tensors.items():
            np.testing.assert_array_equal(values, arrays[name], strict=True)
        path.write_bytes(kept[:300])
        problem = served.get(f"/v1/heads/{head}/weights?format=safetensors", 422)
        assert "train the head again" in problem["remedy"]
    finally:
        path.write_bytes(kept)


def test_a_head_with_its_network_predicts_without_us(
    served: Serving, pack: dict[str, Any], head: str
) -> None:
    path = f"/v1/heads/{head}/onnx"
    job = served.get(path, 202, headers={"Prefer": "wait=0"})
    assert (job["object"], job["kind"]) == ("job", "onnx")
    assert served.get(path, 202, headers={"Prefer": "wait=0"})["id"] == job["id"], "one job"
    answer = served.http.get(path, headers={"Prefer": "wait=60"})
    assert answer.status_code == 200, answer.text
    assert f'filename="head_{head}.onnx"' in answer.headers["content-disposition"]
    result = served.get(f"/v1/jobs/{job['id']}")["result"]
    assert result["largest_difference"] < 1e-4
    assert result["bytes"] == len(answer.content)

    session = onnxruntime.InferenceSession(answer.content, providers=["CPUExecutionProvider"])
    classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert classes == pack["classes"]
    transform, images = Recipe.from_dict(pack["recipe"]).transform, validation_images(served)
    predictions = of_images(served, f"/v1/heads/{head}/predict?top=2", images)
    inputs = np.stack([apply(decode(each.read_bytes()), transform).numpy() for each in images])
    (probability_NK,) = session.run(None, {"images": inputs})
    for found_K, prediction in zip(probability_NK, predictions, strict=True):
        expected = [by_class(prediction)[name] for name in classes]
        assert found_K == pytest.approx(expected, abs=1e-4)


def keep_made(served: Serving, head: str) -> Path:
    """A file as if it had been made of the head as it is."""
    path = served.store.export(head, hash_file(served.store.head(head)))
    path.write_bytes(b"made before")
    return path


def test_a_file_that_was_made_before_is_sent_until_nobody_asks_for_it(
    served: Serving, head: str
) -> None:
    made, url = keep_made(served, head), f"/v1/heads/{head}/onnx"
    database = Database(served.store.database_url)
    long_ago = time.time() - 3600
    try:
        os.utime(made, (long_ago, long_ago))
        assert served.http.get(url).content == b"made before"
        sweep(Catalogue(database), served.store, 1800)
        assert made.exists(), "used just now"
        os.utime(made, (long_ago, long_ago))
        sweep(Catalogue(database), served.store, 1800)
        assert not made.exists()
    finally:
        database.close()


def test_a_head_that_was_trained_again_is_another_file(served: Serving, head: str) -> None:
    path, url = served.store.head(head), f"/v1/heads/{head}/onnx"
    made, kept = keep_made(served, head), path.read_bytes()
    try:
        zeros = LinearHead(np.zeros((512, 2), np.float32), np.zeros(2, np.float32), ("a", "b"))
        save(path, zeros)
        session = onnxruntime.InferenceSession(
            served.http.get(url, headers={"Prefer": "wait=60"}).content
        )
        (found,) = session.run(None, {"images": np.zeros((1, 3, 64, 64), np.float32)})
        assert found == pytest.approx(0.5)
    finally:
        path.write_bytes(kept)
        made.unlink()


def test_a_file_goes_with_its_head(served: Serving) -> None:
    pack = wait(served, MINE | {"transform": {"preset": "stretch", "size": 80}})
    head = train(served, pack)
    made = keep_made(served, head)
    served.http.delete(f"/v1/packs/{pack['pack_id']}")
    assert not made.exists()
    served.get(f"/v1/heads/{head}/onnx", 404)


def test_a_damaged_head_cannot_be_exported(served: Serving) -> None:
    head = train(served, wait(served, MINE | {"transform": {"preset": "stretch", "size": 88}}))
    served.store.head(head).write_bytes(b"junk")
    problem = served.get(f"/v1/heads/{head}/onnx", 422)
    assert "train the head again" in problem["remedy"]
    served.get(f"/v1/heads/{head}/onnx", 404)
