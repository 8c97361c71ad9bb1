"""``train`` and ``heads``: what is sent for each method, and the table of scores."""

from __future__ import annotations

import json
from typing import Any

import pytest

from featurepack import Client, Knn, Linear, Mlp
from tests.commands import run
from tests.serving import Serving
from tests.talking import Script, answer

HEAD = {
    "object": "head",
    "head_id": "h",
    "pack_id": "p",
    "method": "linear",
    "params": {},
    "metrics": {"train_rows": 8, "train_accuracy": 0.5},
    "created": None,
}


@pytest.mark.parametrize(
    ("arguments", "method", "params"),
    [
        ([], "lab", {}),
        (["--epochs", "3", "--rate", "0.01"], "lab", {"epochs": 3, "rate": 0.01}),
        (["--method", "linear", "--l2", "1,10.5"], "linear", {"l2": [1.0, 10.5]}),
        (["--method", "ridge", "--l2", "5"], "ridge", {"l2": [5.0]}),
        (["--method", "knn", "--k", "1,3"], "knn", {"k": [1, 3]}),
        (["--method", "mlp", "--hidden", "64", "--seed", "2"], "mlp", {"hidden": [64], "seed": 2}),
        (["--method", "centroid"], "centroid", {}),
    ],
)
def test_train_sends_the_method_and_what_was_given(
    arguments: list[str], method: str, params: dict[str, Any]
) -> None:
    script = Script(answer(HEAD))
    assert run(script, "train", "p", *arguments) == 0
    sent = json.loads(script.requests[0].content)
    assert (sent["method"], sent["params"]) == (method, params)


def test_settings_of_another_method_are_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(Script(), "train", "p", "--method", "linear", "--epochs", "3") == 2
    assert "linear has no --epochs; it has --l2, --seed, --tolerance" in capsys.readouterr().err
    assert run(Script(), "train", "p", "--method", "centroid", "--k", "3") == 2
    assert "it has no settings" in capsys.readouterr().err


def test_the_client_sends_typed_settings() -> None:
    script = Script(answer(HEAD), answer(HEAD), answer(HEAD))
    client = script.client()
    client.train("p", Linear(l2=(1, 10), tolerance=1e-5))
    client.train("p", Knn(k=5))
    client.train("p", Mlp(hidden=(64, 32), dropout=0.0))
    sent = [json.loads(request.content)["params"] for request in script.requests]
    assert sent[0] == {"l2": [1, 10], "tolerance": 1e-5}
    assert sent[1:] == [{"k": 5}, {"hidden": [64, 32], "dropout": 0.0}]
    with pytest.raises(TypeError, match="belong into params"):
        client.train("p", Linear(), epochs=3)


def test_the_table_tells_scores_and_doubts(
    served: Serving, pack: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Against the real service: every value that is shown is there."""
    from featurepack.cli.main import main

    def connect(_url: str, **options: Any) -> Client:
        return Client(http=served.http, **options)

    arguments = ["train", pack["pack_id"], "--method", "linear"]
    assert main(arguments, connect=connect) == 0
    shown = capsys.readouterr().out
    for name in (
        "chosen l2",
        "validation accuracy",
        "top-5 accuracy",
        "calibration error",
        "ROC-AUC",
        "exact duplicates",
        "near duplicates",
        "suspect labels in train",
    ):
        assert name in shown
    assert " of 9" in shown
    assert main(["heads"], connect=connect) == 0
    assert "linear" in capsys.readouterr().out
