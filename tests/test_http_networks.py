"""Networks, checkpoints and the OpenAPI document over HTTP."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import torch

from tests.serving import PAIR, Serving, wait
from tests.working import plain_network


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


def test_checkpoints_are_checked_when_they_are_uploaded(served: Serving, tmp_path: Path) -> None:

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


def test_openapi_has_examples_and_no_warnings(served: Serving) -> None:
    document = served.get("/openapi.json")
    assert document["components"]["schemas"]["JobRequest"]["examples"]
    assert {"/v1/jobs", "/v1/packs/{pack_id}/features", "/v1/heads"} <= document["paths"].keys()
    answers = document["paths"]["/v1/jobs"]["post"]["responses"]
    assert {"200", "202", "401", "403", "429", "507"} <= answers.keys()
    for status in answers.keys() - {"200", "202"}:
        assert "application/problem+json" in answers[status]["content"]
    operations = [o["operationId"] for path in document["paths"].values() for o in path.values()]
    assert len(operations) == len(set(operations))
    assert served.http.get("/docs").status_code == 200
