"""The client and the command: classify, predict, export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import safetensors.numpy

from featurepack import Client, ConnectionFailed, InvalidRequest, NotFound
from tests.commands import run
from tests.serving import Serving, wait
from tests.talking import JOB, Script, answer, streaming
from tests.test_http_predictions import MINE, train, validation_images

BIRDS = {
    "name": "a.png",
    "classes": [
        {"class": "crane", "index": 517, "probability": 0.7},
        {"class": "crane bird", "index": 134, "probability": 0.2},
    ],
}
ROWS = [
    {
        "name": "train/owl/1.png",
        "row": 3,
        "label": "owl",
        "valid": True,
        "classes": [{"class": "owl", "index": 0, "probability": 1.0}],
    },
    {"name": "train/owl/2.png", "row": 4, "label": None, "valid": False, "classes": []},
]


def done(*predictions: dict[str, Any]) -> httpx.Response:
    return answer(JOB | {"state": "succeeded", "result": {"predictions": list(predictions)}})


@pytest.fixture(scope="module")
def head(served: Serving) -> str:
    return train(served, wait(served, MINE))


@pytest.fixture
def client(served: Serving) -> Iterator[Client]:
    with Client(http=served.http, cache=False) as opened:
        yield opened


def test_images_and_rows_are_predicted(served: Serving, client: Client, head: str) -> None:
    paths = validation_images(served)
    row_ids = [f"validation/{path.parent.name}/{path.name}" for path in paths]
    images = client.predict(head, paths)
    rows = client.predict_rows(head, row_id=row_ids)
    assert [row.name for row in rows] == row_ids
    assert [row.label for row in rows] == [path.parent.name for path in paths]
    for image, row in zip(images, rows, strict=True):
        assert dict(image.classes) == pytest.approx(dict(row.classes), abs=1e-5)
        assert (image.row, image.label) == (None, None)
    assert [row.row for row in client.predict_rows(head, "validation", start=1, stop=3)] == [23, 24]
    assert [row.row for row in client.predict_rows(head, rows=np.array([5, 2]), top=1)] == [5, 2]
    with pytest.raises(NotFound, match="nope"):
        client.predict_rows(head, "nope")


def test_a_network_classifies(served: Serving, client: Client) -> None:
    (found,) = client.classify(
        "squeezenet1_1", validation_images(served)[0], weights="random:0", top=3
    )
    assert len(found.classes) == len(found.index) == 3
    with pytest.raises(InvalidRequest, match="1,000 classes"):
        client.classify("vgg16", validation_images(served)[0], weights="IMAGENET1K_FEATURES")


def test_heads_are_saved(served: Serving, client: Client, head: str, tmp_path: Path) -> None:
    for name in ("a.npz", "a.safetensors", "a.onnx"):
        assert client.export_head(head, tmp_path / name) == tmp_path / name
    tensors = safetensors.numpy.load_file(tmp_path / "a.safetensors")
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["weight"], tensors["weight"])
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    assert session.get_outputs()[0].shape == ["N", 2]
    assert len(list(tmp_path.glob("a.*"))) == 3
    with pytest.raises(InvalidRequest, match=r"a\.pkl ends in none of"):
        client.export_head(head, tmp_path / "a.pkl")
    with pytest.raises(NotFound):
        client.export_head("nope", tmp_path / "b.onnx")
    assert not (tmp_path / "b.onnx").exists()


def test_a_file_that_is_being_made_is_waited_for(tmp_path: Path) -> None:
    made = httpx.Response(200, content=b"the file")
    script = Script(answer(JOB, 202), answer(JOB | {"state": "succeeded", "result": {}}), made)
    script.client().export_head("h", tmp_path / "a.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == b"the file"
    paths = [request.url.path for request in script.requests]
    assert paths == ["/v1/heads/h/onnx", "/v1/jobs/j1", "/v1/heads/h/onnx"]


def test_a_file_that_broke_off_is_no_file(tmp_path: Path) -> None:
    script = Script(streaming([b"half", httpx.ReadError("the line broke")]))
    with pytest.raises(ConnectionFailed):
        script.client().export_head("h", tmp_path / "a.npz")
    assert list(tmp_path.glob("*a.npz*")) == []


def test_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"image")
    script = Script(done(BIRDS))
    assert run(script, "classify", "alexnet", str(image), "--weights", "random:1") == 0
    assert script.requests[0].url.path == "/v1/networks/alexnet/classify"
    assert dict(script.requests[0].url.params) == {"top": "5", "weights": "random:1"}
    assert capsys.readouterr().out.splitlines()[1:] == [
        "a.png  crane       70.00 %",
        "       crane bird  20.00 %",
    ]
    script = Script(done(*ROWS))
    arguments = ("--split", "train", "--label", "owl", "--label", "3", "--sample", "2")
    assert run(script, "predict", "h", *arguments, "--top", "1") == 0
    assert json.loads(script.requests[0].content) == {
        "split": "train",
        "label": ["owl", "3"],
        "sample": 2,
        "seed": 0,
    }
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["image", "label", "class", "probability"]
    assert first.split() == ["train/owl/1.png", "owl", "owl", "100.00", "%"]
    assert second.split() == ["train/owl/2.png", "-", "-", "-"]
    assert run(Script(done(*ROWS)), "predict", "h", "--start", "0", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["row"] == 3
    saved = tmp_path / "h.safetensors"
    assert run(Script(httpx.Response(200, content=b"12345")), "export", "h", str(saved)) == 0
    assert capsys.readouterr().out == f"{saved}: 5 B\n"


@pytest.mark.parametrize("arguments", [(), ("a.png", "--split", "train")])
def test_the_command_wants_images_or_rows(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(Script(), "predict", "h", *arguments) == 2
    assert "give FILES, or some of --split" in capsys.readouterr().err
