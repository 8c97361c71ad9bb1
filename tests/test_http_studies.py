"""Studies over HTTP: queued, trained, compared; and what ends them otherwise."""

from __future__ import annotations

import csv
import io
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cache.database import Database
from cache.errors import InvalidRequest
from cache.store import Store
from cache.tables import packs
from service.app import create_app
from service.settings import ServiceSettings
from tests.pictures import write_image_folder
from tests.serving import Serving, serving, worker_running
from tests.working import working
from worker import forward_pass
from worker.context import Context
from worker.loop import step
from worker.tasks import EXTRACTION, FILES, QUICK

WAIT = {"Prefer": "wait=60"}
NETWORK = {
    "network": "squeezenet1_1",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 32},
}
DATASET = {"dataset": "digits", "view": {"validation": 0.2, "limit": 150}}
STUDY = {
    "networks": [NETWORK | {"taps": ["features.6.cat:avg", "features.12.cat:avg"]}],
    "datasets": [DATASET],
    "methods": ["ridge", "centroid"],
}


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with serving(store) as found:
        yield found


@pytest.fixture
def digits(service: Serving) -> Serving:
    """A service that has digits; its worker has ended again."""
    with worker_running(service.store):
        source = {"kind": "builtin", "name": "digits"}
        service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
    return service


def states(study: dict[str, Any]) -> list[str]:
    return [cell["state"] for cell in study["cells"]]


def test_a_study_builds_trains_and_compares(digits: Serving) -> None:
    study = digits.post("/v1/studies", STUDY, 202)
    assert states(study) == ["queued"] * 4
    assert study["progress"] == {"cells_done": 0, "cells_total": 4, "states": {"queued": 4}}
    jobs = digits.get("/v1/jobs")["items"]
    assert sorted(job["kind"] for job in jobs if job["state"] == "queued") == (
        ["extract"] * 2 + ["head"] * 4
    )
    assert {job["waits_for"] for job in jobs if job["kind"] == "head"} == {
        f"extract:{cell['pack_id']}" for cell in study["cells"]
    }
    with worker_running(digits.store):
        done = digits.get(f"/v1/studies/{study['study_id']}", headers=WAIT)
    assert (done["state"], states(done)) == ("succeeded", ["succeeded"] * 4)
    assert digits.post("/v1/studies", STUDY, 200)["study_id"] == study["study_id"]
    for cell in done["cells"]:
        head = digits.get(f"/v1/heads/{cell['head_id']}")
        pack = digits.get(f"/v1/packs/{cell['pack_id']}")
        assert cell["accuracy"] == head["metrics"]["validation_accuracy"]
        assert cell["interval"] == head["metrics"]["validation_interval"]
        assert cell["train_seconds"] == head["metrics"]["seconds"]
        assert (cell["pack_bytes"], cell["extraction_seconds"]) == (
            pack["bytes"],
            pack["provenance"]["seconds"],
        )
        assert head["params"]["train"] == "train"
    (ridge, centroid) = done["tables"]
    assert (ridge["method"], ridge["datasets"]) == (
        "ridge",
        ["digits@1 limit=150 validation=0.2"],
    )
    mine = [cell for cell in done["cells"] if cell["method"] == "ridge"]
    best = max(mine, key=lambda cell: cell["accuracy"])
    assert ridge["rows"][0]["entries"][0]["head_id"] == best["head_id"]
    assert ridge["rows"][0]["entries"][0]["tap"] == best["tap"]
    assert centroid["method"] == "centroid"


def test_the_ranking_is_sorted_and_overlaps_are_ties(digits: Serving) -> None:
    with worker_running(digits.store):
        study = digits.post("/v1/studies", STUDY, headers=WAIT)
    (ranking,) = study["ranking"]
    places = ranking["places"]
    accuracies = [place["accuracy"] for place in places]
    assert accuracies == sorted(accuracies, reverse=True)
    low = places[0]["interval"][0]
    overlap = [place["interval"][1] >= low for place in places]
    assert [place["tie"] for place in places] == [o and sum(overlap) > 1 for o in overlap]
    better = [sum(other > one for other in accuracies) for one in accuracies]
    assert [p["rank"] for p in places] == [
        1 if o else n + 1 for n, o in zip(better, overlap, strict=True)
    ]
    assert places[0]["p_value"] is None
    assert all(0 <= place["p_value"] <= 1 for place in places[1:])


def test_csv_and_markdown(digits: Serving) -> None:
    with worker_running(digits.store):
        study = digits.post("/v1/studies", STUDY, headers=WAIT)
    path = f"/v1/studies/{study['study_id']}"
    reply = digits.http.get(path, headers={"Accept": "text/csv"})
    assert reply.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [float(row["accuracy"]) for row in rows] == [c["accuracy"] for c in study["cells"]]
    assert [row["head_id"] for row in rows] == [cell["head_id"] for cell in study["cells"]]
    text = digits.http.get(f"{path}?format=markdown").text
    assert "succeeded, 4 of 4 cells" in text
    best = study["ranking"][0]["places"][0]
    assert f"{100 * best['accuracy']:.1f} %" in text
    assert f"`{best['tap']}`" in text
    assert digits.get(f"{path}?format=xlsx", 422)["value"] == "xlsx"


def test_what_is_there_is_not_made_again(digits: Serving) -> None:
    with worker_running(digits.store):
        first = digits.post("/v1/studies", STUDY, headers=WAIT)
        more = digits.post("/v1/studies", STUDY | {"methods": ["ridge", "knn"]}, headers=WAIT)
    assert more["study_id"] != first["study_id"]
    kinds = [job["kind"] for job in digits.get("/v1/jobs?limit=200")["items"]]
    assert (kinds.count("extract"), kinds.count("head")) == (2, 6)
    listed = digits.get("/v1/studies")["items"]
    assert [one["study_id"] for one in listed] == [more["study_id"], first["study_id"]]
    assert all(one["state"] == "succeeded" for one in listed)


def test_the_order_of_the_request_makes_no_other_study(digits: Serving) -> None:
    one = digits.post("/v1/studies", STUDY, 202)
    other = digits.post("/v1/studies", STUDY | {"methods": ["centroid", "ridge"]}, 202)
    assert one["study_id"] == other["study_id"]
    assert len(digits.get("/v1/jobs?state=queued")["items"]) == 6


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"networks": ["squeezenet1_1", "nonet"]}, 404, "nonet on digits"),
        ({"networks": [NETWORK | {"tap": "features.99"}]}, 404, "features.99"),
        ({"datasets": [DATASET, "nothing"]}, 404, "squeezenet1_1 on nothing"),
        ({"datasets": ["digits"]}, 404, "squeezenet1_1 on digits: there is no split 'validation'"),
        ({"methods": ["svm"]}, 422, "method"),
        ({"methods": [{"method": "knn", "params": {"k": 0}}]}, 422, "k"),
        ({"networks": []}, 422, "networks"),
        ({"train": "nothing"}, 404, "'nothing'"),
    ],
)
def test_a_mistake_is_told_before_anything_is_queued(
    digits: Serving, change: dict[str, Any], status: int, words: str
) -> None:
    assert words in digits.post("/v1/studies", STUDY | change, status)["detail"]
    assert digits.get("/v1/studies")["items"] == []
    assert {job["kind"] for job in digits.get("/v1/jobs")["items"]} == {"ingest"}


@pytest.mark.parametrize(
    ("splits", "words"),
    [
        ({"train": {"a": 4}, "validation": {"a": 2}}, "fewer than two classes"),
        ({"train": {"a": 4, "b": 4}, "validation": {"c": 2}}, "has classes that 'train' lacks: c"),
    ],
)
def test_splits_that_teach_nothing_are_told_before_anything_is_queued(
    service: Serving, splits: dict[str, dict[str, int]], words: str
) -> None:
    assert service.store.data_root is not None
    write_image_folder(service.store.data_root / "odd", splits)
    with worker_running(service.store):
        source = {"kind": "folder", "path": "odd"}
        service.post("/v1/datasets", {"name": "odd", "source": source}, 201)
    problem = service.post("/v1/studies", STUDY | {"datasets": ["odd"]}, 422)
    assert "squeezenet1_1 on odd" in problem["detail"]
    assert words in problem["detail"]
    assert service.get("/v1/jobs?state=queued")["items"] == []


def test_a_failed_pack_fails_its_cells_and_the_study_is_tried_again(
    digits: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise InvalidRequest("the weights do not fit", value="w", remedy="give others")

    with monkeypatch.context() as broken:
        broken.setattr(forward_pass.ForwardPass, "compute", refuse)
        with worker_running(digits.store):
            study = digits.post("/v1/studies", STUDY, headers=WAIT)
    assert (study["state"], states(study)) == ("failed", ["failed"] * 4)
    detail = study["cells"][0]["error"]["detail"]
    assert detail.endswith("was not built: the weights do not fit")
    assert (
        "the weights do not fit"
        in digits.http.get(f"/v1/studies/{study['study_id']}?format=markdown").text
    )
    with worker_running(digits.store):
        again = digits.post("/v1/studies", STUDY, headers=WAIT)
    assert (again["study_id"], again["state"]) == (study["study_id"], "succeeded")


def test_cancelling_ends_what_nobody_else_wants(digits: Serving) -> None:
    ann = digits.post("/v1/studies", STUDY | {"submitter": "ann"}, 202)
    bob = digits.post("/v1/studies", STUDY | {"submitter": "bob"}, 202)
    assert bob["submitters"] == ["ann", "bob"]
    wanted = NETWORK | {"tap": "features.6.cat:avg"} | DATASET | {"submitter": "eve"}
    other = digits.post("/v1/jobs", wanted, 202)
    path = f"/v1/studies/{ann['study_id']}/cancel"
    assert "'eve' is not among" in digits.post(f"{path}?submitter=eve", status=409)["detail"]
    assert states(digits.post(f"{path}?submitter=ann")) == ["queued"] * 4
    left = digits.post(f"{path}?submitter=bob")
    assert (left["state"], states(left)) == ("cancelled", ["cancelled"] * 4)
    (still,) = digits.get("/v1/jobs?state=queued")["items"]
    assert (still["id"], still["submitters"]) == (other["id"], ["eve"])
    assert digits.post(f"{path}?submitter=bob")["state"] == "cancelled", "asked again, it stays so"
    again = digits.post("/v1/studies", STUDY, 202)
    assert again["study_id"] == ann["study_id"]
    assert states(again) == ["queued"] * 4
    digits.post("/v1/studies/nope/cancel", status=404)
    digits.get("/v1/studies/nope", 404)


def test_a_restart_between_pack_and_head_loses_nothing(store: Store) -> None:
    """A worker that only extracts ends; the service is closed; new ones find the heads released."""
    with serving(store) as service, working(store) as worker:
        source = {"kind": "builtin", "name": "digits"}
        service.post(
            "/v1/datasets",
            {"name": "digits", "source": source},
            202,
            headers={"Prefer": "respond-async"},
        )
        assert step(worker, FILES)
        study = service.post("/v1/studies", STUDY, 202)
        assert not step(worker, QUICK), "no head is claimed before its pack is there"
        assert step(worker, EXTRACTION)
        assert not step(worker, EXTRACTION), "both taps were one forward pass"
    with serving(store) as service, working(store) as worker:
        while step(worker, QUICK):
            pass
        done = service.get(f"/v1/studies/{study['study_id']}")
    assert states(done) == ["succeeded"] * 4


def test_heads_whose_pack_was_evicted_still_count(digits: Serving) -> None:
    with worker_running(digits.store):
        study = digits.post("/v1/studies", STUDY, headers=WAIT)
    database = Database(f"sqlite:///{digits.store.root / 'featurepack.db'}")
    with database.write() as connection:
        connection.execute(sa.delete(packs))
    database.close()
    again = digits.post("/v1/studies", STUDY, 200)
    assert states(again) == ["succeeded"] * 4
    assert [c["pack_bytes"] for c in again["cells"]] == [None] * 4
    assert [c["accuracy"] for c in again["cells"]] == [c["accuracy"] for c in study["cells"]]


@pytest.fixture
def anywhere(database: Database, store: Store) -> Iterator[tuple[Serving, Context]]:
    """A service and a worker that steps by hand, on each database, with digits."""
    url = database.engine.url.render_as_string(hide_password=False)
    app = create_app(ServiceSettings(store=store, database_url=url))
    with (
        TestClient(app, raise_server_exceptions=False) as http,
        working(store, database_url=url) as worker,
    ):
        service = Serving(http, store)
        body = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        service.post("/v1/datasets", body, 202, headers={"Prefer": "respond-async"})
        assert step(worker, FILES)
        yield service, worker


def test_a_study_on_both_databases(anywhere: tuple[Serving, Context]) -> None:
    service, worker = anywhere
    study = service.post("/v1/studies", STUDY, 202)
    assert not step(worker, QUICK)
    assert step(worker, EXTRACTION)
    while step(worker, QUICK):
        pass
    done = service.post("/v1/studies", STUDY, 200)
    assert (done["study_id"], states(done)) == (study["study_id"], ["succeeded"] * 4)
    for cell in done["cells"]:
        head = service.get(f"/v1/heads/{cell['head_id']}")
        assert cell["accuracy"] == head["metrics"]["validation_accuracy"]


def test_studies_that_overlap_are_submitted_and_cancelled_at_once(
    anywhere: tuple[Serving, Context],
) -> None:
    """From threads, while packs are published and heads trained: no deadlock, nothing lost."""
    service, worker = anywhere
    taps = [f"features.{n}.cat:avg" for n in (3, 4, 6, 7, 9, 10)]
    failed: list[int] = []

    def submit(number: int) -> None:
        mine = taps[number % 3 :] if number % 2 else taps[number % 3 :][::-1]
        body = STUDY | {"networks": [NETWORK | {"taps": mine}], "submitter": str(number)}
        for _ in range(3):
            reply = service.http.post("/v1/studies", json=body)
            failed.extend([] if reply.is_success else [reply.status_code])
            path = f"/v1/studies/{reply.json()['study_id']}/cancel?submitter={number}"
            reply = service.http.post(path)
            failed.extend([] if reply.is_success else [reply.status_code])
        service.http.post("/v1/studies", json=body)

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        step(worker, EXTRACTION)
        step(worker, QUICK)
    assert failed == []
    while step(worker, EXTRACTION) or step(worker, QUICK):
        pass
    for study in service.get("/v1/studies")["items"]:
        assert study["state"] == "succeeded"
