"""The client and the command compare and advise, against a real service and worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from cache.store import Store
from featurepack import Advice, Client, Knn, NotFound, Study, TimedOut
from featurepack.cli.main import main
from tests.serving import Serving, serving, worker_running

NETWORK = {
    "network": "squeezenet1_1",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 32},
}
VIEW = {"validation": 0.2, "limit": 120}
DATASET = {"dataset": "digits", "view": VIEW}


@pytest.fixture
def digits(store: Store) -> Iterator[Serving]:
    with serving(store) as service, worker_running(store):
        source = {"kind": "builtin", "name": "digits"}
        service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
        yield service


def client_of(service: Serving) -> Client:
    return Client(http=service.http, submitter="ada@lab")


def test_a_study_by_the_client(digits: Serving) -> None:
    client = client_of(digits)
    told: list[Study] = []
    taps = ["features.6.cat:avg", "features.12.cat:avg"]
    found = client.study(
        NETWORK | {"taps": taps},
        [DATASET],
        ["centroid", Knn(k=3)],
        on_progress=told.append,
    )
    assert found.state == "succeeded"
    assert told[0].state == "running"
    assert told[-1].progress == {"cells_done": 4, "cells_total": 4, "states": {"succeeded": 4}}
    assert {cell.tap for cell in found.cells} == set(taps)
    assert [cell.params for cell in found.cells if cell.method == "knn"] == [{"k": [3]}] * 2
    (place, *_) = found.ranking[0].places
    assert place.accuracy == max(cell.accuracy or 0 for cell in found.cells)
    dataset = "digits@1 limit=120 validation=0.2"
    assert [(row["method"], row["network"]) for row in found.table()] == [
        ("centroid", "squeezenet1_1"),
        ("knn", "squeezenet1_1"),
    ]
    best = max(cell.accuracy or 0 for cell in found.cells if cell.method == "knn")
    assert found.table()[1][dataset] == best
    assert f"## Ranking on {dataset}" in found.markdown()
    assert client.study_of(found.study_id) == found
    assert client.study_csv(found.study_id).count("\r\n") == 5
    assert [one.study_id for one in client.studies()] == [found.study_id]
    with pytest.raises(NotFound):
        client.study("nonet", "digits")
    with pytest.raises(NotFound):
        client.study_of("nope")


def test_a_study_that_takes_too_long_goes_on_until_it_is_cancelled(store: Store) -> None:
    """Nobody works on it."""
    with serving(store) as service:
        with worker_running(store):
            source = {"kind": "builtin", "name": "digits"}
            service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
        client = client_of(service)
        with pytest.raises(TimedOut, match="is still running"):
            client.study(NETWORK, DATASET, "ridge", timeout=0.1)
        (brief,) = client.studies()
        assert (brief.state, brief.submitters) == ("running", ["ada@lab"])
        assert client.cancel_study(brief.study_id).state == "cancelled"


def test_advice_by_the_client(digits: Serving) -> None:
    told: list[Advice] = []
    found = client_of(digits).advice(
        "squeezenet1_1",
        "digits",
        view=VIEW,
        weights="random:0",
        transform={"preset": "stretch", "size": 32},
        on_progress=told.append,
    )
    assert told[-1].state == found.state == "succeeded"
    assert found.case is not None
    assert found.case["best_tap"] in {layer["tap"] for layer in found.layers}
    table = found.table()
    assert [row["accuracy"] for row in table[: len(found.layers)]] == [
        layer["accuracy"] for layer in found.layers
    ]
    assert [row["share"] for row in table[len(found.layers) :]] == [0.125, 0.25, 0.5]
    assert all(sentence in found.markdown() for sentence in found.words)


def run(service: Serving, *arguments: str) -> int:
    return main(arguments, connect=lambda _, submitter: client_of(service))


def test_the_command_compares(digits: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    study: tuple[str, ...] = ("study", "squeezenet1_1", "digits", "--weights", "random:0")
    study += ("--limit", "60", "--validation", "0.2", "--method", "centroid")
    study += ("--tap", "features.6.cat:avg", "--method", 'knn:{"k": 5}')
    assert run(digits, *study) == 0
    shown = capsys.readouterr()
    assert "ranking on digits@1 limit=60 validation=0.2; = are ties" in shown.out
    assert "features.6.cat:avg" in shown.out
    assert run(digits, "--json", *study) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [cell["method"] for cell in found["cells"]] == ["centroid", "knn"]
    assert run(digits, "studies") == 0
    assert found["study_id"] in capsys.readouterr().out
    assert run(digits, "studies", "show", found["study_id"], "--format", "csv") == 0
    assert capsys.readouterr().out.startswith("network,tap,dataset,method")
    assert run(digits, "studies", "show", found["study_id"], "--format", "markdown") == 0
    assert capsys.readouterr().out.startswith(f"# Study {found['study_id']}: succeeded")
    assert run(digits, "studies", "cancel", found["study_id"]) == 0
    assert run(digits, "study", "a,b", "digits", "--tap", "x") == 2
    assert "--tap goes with one network" in capsys.readouterr().err


def test_the_command_advises(digits: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("advise", "squeezenet1_1", "digits", "--weights", "random:0")
    assert run(digits, *arguments, "--limit", "60", "--validation", "0.2") == 0
    shown = capsys.readouterr().out
    assert "over the last layer" in shown
    assert "images a class, fewer than 100, the dataset is small" in shown
