"""The client: problems, repetition, waiting, and what it sends; against scripted answers."""

from __future__ import annotations

import getpass
import io
import json
import os
import socket
import zipfile
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import featurepack
from featurepack import Client, Job, Pack
from featurepack.datasets import source_of
from featurepack.errors import (
    Conflict,
    ConnectionFailed,
    CorruptData,
    FeaturepackError,
    Forbidden,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    StorageFull,
    TooLarge,
    Unauthorised,
    Unavailable,
)
from tests.talking import ATTEMPTS, FAULT, JOB, URL, Script, answer, problem

KINDS = {
    ("not-found", 404): NotFound,
    ("conflict", 409): Conflict,
    ("lease-lost", 409): Conflict,
    ("invalid-request", 422): InvalidRequest,
    ("out-of-range", 416): InvalidRequest,
    ("busy", 429): Unavailable,
    ("corrupt-data", 422): CorruptData,
    ("too-large", 413): TooLarge,
    ("unauthorised", 401): Unauthorised,
    ("forbidden", 403): Forbidden,
    ("quota-exceeded", 429): QuotaExceeded,
    ("storage-full", 507): StorageFull,
    ("unavailable", 503): Unavailable,
    ("unreachable", 424): Unavailable,
    ("internal", 500): FeaturepackError,
}


@pytest.mark.parametrize(("kind", "status"), KINDS)
def test_a_problem_becomes_the_error_of_its_type(kind: str, status: int) -> None:
    script = Script(*[problem(kind, status)] * 5)
    with pytest.raises(FeaturepackError) as caught:
        script.client().pack("p")
    error = caught.value
    assert type(error) is KINDS[kind, status]
    assert (error.detail, error.value, error.remedy) == (f"{kind} it is", 7, "do this")
    assert error.status == status


def test_every_kind_of_the_service_is_known_to_the_client() -> None:
    from cache import errors

    kinds = {cls.kind for cls in vars(errors).values() if hasattr(cls, "kind")}
    assert kinds <= {kind for kind, _ in KINDS}


@pytest.mark.parametrize(
    ("status", "cls"), [(502, Unavailable), (404, NotFound), (500, FeaturepackError)]
)
def test_an_answer_of_something_else_on_the_way(status: int, cls: type[Exception]) -> None:
    script = Script(*[httpx.Response(status, html="<h1>nginx</h1>")] * 5)
    with pytest.raises(FeaturepackError, match=f"/v1/packs/p: {status}") as caught:
        script.client().pack("p")
    assert type(caught.value) is cls


def test_a_page_that_is_no_json_is_no_featurepack_service() -> None:
    with pytest.raises(FeaturepackError, match="no JSON"):
        Script(httpx.Response(200, html="<h1>Welcome</h1>")).client().pack("p")


def test_an_answer_that_lacks_a_field_says_which() -> None:
    with pytest.raises(FeaturepackError, match="the service's job has no 'state'"):
        Script(answer({k: v for k, v in JOB.items() if k != "state"})).client().job("j1")


def test_reading_is_tried_again_with_growing_random_pauses() -> None:
    script = Script(*[httpx.ConnectError("refused")] * 4, answer(JOB))
    assert script.client().job("j1").id == "j1"
    limits = (0.25, 0.5, 1.0, 2.0)
    assert all(
        limit / 2 <= pause <= limit for pause, limit in zip(script.pauses, limits, strict=True)
    )


def test_a_service_that_does_not_answer_is_named() -> None:
    script = Script(*[httpx.ConnectError("refused")] * 5)
    with pytest.raises(
        ConnectionFailed, match=r"no answer from http://featurepack\.test"
    ) as caught:
        script.client().networks()
    assert isinstance(caught.value, ConnectionError)


def test_retry_after_is_waited_for() -> None:
    script = Script(problem("unavailable", 503, **{"Retry-After": "5"}), answer(JOB))
    script.client().job("j1")
    assert script.pauses == [5.0]


def test_a_submission_may_be_repeated_and_an_upload_may_not(tmp_path: Path) -> None:
    script = Script(problem("unavailable", 503), answer(JOB, 202))
    assert script.client().submit("vgg16", "set", tap="features:avg") == Job.of(JOB)
    sent = {"network": "vgg16", "dataset": "set", "tap": "features:avg", "submitter": "ada@lab"}
    assert script.bodies == [sent, sent]
    (tmp_path / "w.pth").write_bytes(b"x")
    script = Script(problem("unavailable", 503))
    with pytest.raises(Unavailable):
        script.client().upload_weights("vgg16", tmp_path / "w.pth")


def test_a_deletion_whose_answer_was_lost_is_done() -> None:
    Script(httpx.ReadError("broke"), problem("not-found", 404)).client().delete_pack("p")
    with pytest.raises(NotFound):
        Script(problem("not-found", 404)).client().delete_pack("p")


def test_lists_follow_the_cursor() -> None:
    first = {"items": [JOB | {"id": "1"}, JOB | {"id": "2"}], "next_cursor": "abc"}
    last = {"items": [JOB | {"id": "3"}], "next_cursor": None}
    script = Script(answer(first), answer(last))
    assert [job.id for job in script.client().jobs(state="queued")] == ["1", "2", "3"]
    assert dict(script.requests[1].url.params) == {
        "state": "queued",
        "limit": "500",
        "cursor": "abc",
    }
    script = Script(answer(first))
    assert [job.id for job in script.client().jobs(limit=2)] == ["1", "2"]


def test_times_are_times_and_unknown_fields_are_left_out() -> None:
    job = Script(answer(JOB | {"new": 1})).client().job("j1")
    assert job.created is not None
    assert job.created.isoformat() == "2026-01-02T03:04:05+00:00"


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path_is_not_sent(name: str) -> None:
    with pytest.raises(InvalidRequest):
        Script().client().delete_pack(name)


def test_names_are_quoted() -> None:
    script = Script(problem("not-found", 404))
    with pytest.raises(NotFound):
        script.client().dataset("a/b?c@2")
    assert script.requests[0].url.raw_path == b"/v1/datasets/a%2Fb%3Fc@2"


@pytest.mark.parametrize(("kind", "query"), [("extract", b"submitter=ada%40lab"), ("head", b"")])
def test_cancelling_withdraws_the_submitter(kind: str, query: bytes) -> None:
    others = JOB | {"kind": kind, "submitters": ["eve@lab"]}
    script = Script(answer(JOB | {"kind": kind}), answer(others))
    assert script.client().cancel("j1").goes_on_for_others
    assert [request.method for request in script.requests] == ["GET", "POST"]
    assert script.requests[1].url.query == query


@pytest.mark.parametrize(
    "end", [{"state": "cancelled"}, {"state": "running", "cancelling": True}, {"submitters": []}]
)
def test_a_job_that_ends_goes_on_for_nobody(end: dict[str, Any]) -> None:
    assert not Job.of(JOB | end).goes_on_for_others


def test_a_withdrawal_whose_answer_was_lost_is_done() -> None:
    lost, others = httpx.ReadError("broke"), JOB | {"submitters": ["eve@lab"]}
    script = Script(answer(JOB), lost, problem("conflict", 409), answer(others))
    assert script.client().cancel("j1").submitters == ["eve@lab"]
    with pytest.raises(Conflict):
        Script(answer(JOB), problem("conflict", 409)).client().cancel("j1")
    with pytest.raises(ConnectionFailed):  # a second one could be another submitter's
        Script(answer(JOB | {"kind": "head"}), lost).client().cancel("j1")


def test_who_submits() -> None:
    host = socket.gethostname()
    assert Client(URL).submitter == f"{getpass.getuser()}@{host}"
    assert Client(URL, submitter="night run").submitter == "night run"
    for name in ("", "x" * 101, "a\nb"):
        with pytest.raises(InvalidRequest, match="no name of a submitter"):
            Client(URL, submitter=name)


def test_a_user_without_a_name_and_one_with_a_strange_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr(getpass, "getuser", nobody)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    monkeypatch.setattr(socket, "gethostname", lambda: "north\udc80" + "h" * 200)
    name = Client(URL).submitter
    assert name.startswith("uid-1234@north?hhh")
    assert len(name) == 100


def test_answers_of_an_older_service() -> None:
    new = ("submitters", "attempts", "next_try")
    job = Job.of({name: value for name, value in JOB.items() if name not in new})
    assert (job.submitters, job.attempts, job.next_try) == ([], [], None)
    assert not job.goes_on_for_others


def test_attempts_are_values_with_times() -> None:
    job = Job.of(JOB | {"attempts": ATTEMPTS, "next_try": "2026-01-02T03:04:38Z"})
    lost, retried = job.attempts
    assert lost.ended is not None
    assert (lost.ended - lost.began).total_seconds() == 30
    assert retried.error == FAULT
    assert job.next_try is not None
    assert job.next_try.second == 38


@pytest.mark.parametrize(
    ("source", "sent"),
    [
        ("digits", {"kind": "builtin", "name": "digits"}),
        ("cifar10", {"kind": "torchvision", "name": "cifar10"}),
        ("birds/2026", {"kind": "folder", "path": "birds/2026"}),
        (Path("birds"), {"kind": "folder", "path": "birds"}),
        ({"kind": "folder", "path": "x"}, {"kind": "folder", "path": "x"}),
    ],
)
def test_sources_have_short_forms(source: Any, sent: dict[str, str]) -> None:
    assert source_of(source) == sent


def test_a_folder_is_uploaded_as_an_archive(tmp_path: Path) -> None:
    (tmp_path / "birds" / "train" / "owl").mkdir(parents=True)
    (tmp_path / "birds" / "train" / "owl" / "1.png").write_bytes(b"image")
    script = Script(answer(JOB | {"state": "failed", "error": {"kind": "x", "detail": "no"}}, 202))
    with pytest.raises(FeaturepackError, match="no"):
        script.client().upload_dataset("birds", tmp_path / "birds")
    content = script.requests[0].content
    assert b'filename="birds.zip"' in content
    archive = content[content.index(b"PK\x03\x04") :]
    assert zipfile.ZipFile(io.BytesIO(archive)).namelist() == ["train/owl/1.png"]


def test_an_upload_tells_how_much_is_sent(tmp_path: Path) -> None:
    for name, count in (("a.npz", 100_000), ("b.npz", 50_000)):
        (tmp_path / name).write_bytes(b"x" * count)
    script = Script(answer(JOB | {"state": "failed", "error": {"kind": "x", "detail": "no"}}, 202))
    told: list[tuple[int, int]] = []
    with pytest.raises(FeaturepackError, match="no"):
        script.client().upload_dataset(
            "birds",
            [tmp_path / "a.npz", tmp_path / "b.npz"],
            on_bytes=lambda *bytes_: told.append(bytes_),
        )
    assert told[0][0] < told[-1][0]
    assert told[-1] == (150_000, 150_000)
    assert script.requests[0].content.count(b"x" * 50_000) == 3


def test_registering_that_takes_long_is_waited_for() -> None:
    done = JOB | {"state": "succeeded", "result": {"dataset": "d", "version": 2}}
    dataset = {
        "name": "d",
        "version": 2,
        "dataset_id": "x",
        "source": {},
        "classes": [],
        "splits": {},
        "rows": 0,
        "bytes": 0,
        "created": None,
    }
    script = Script(answer(JOB, 202), answer(done), answer(dataset))
    assert script.client().add_dataset("d", "digits").version == 2
    assert script.requests[-1].url.path == "/v1/datasets/d@2"


def test_a_head_is_trained_downloaded_and_used(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"image")
    head = {"object": "head", "head_id": "h", "pack_id": "p", "method": "lab"}
    head |= {"params": {}, "metrics": {}, "created": None}
    buffer = io.BytesIO()
    np.savez(buffer, weight=np.eye(2), bias=np.zeros(2), classes=np.array(["x", "y"]))
    one = {"name": "a.png", "classes": [{"class": "x", "probability": 0.9}]}
    predicted = JOB | {"state": "succeeded", "result": {"predictions": [one]}}
    script = Script(
        answer(JOB, 202),
        answer(JOB | {"state": "succeeded", "result": {"head_id": "h"}}),
        answer(head),
        httpx.Response(200, content=buffer.getvalue()),
        answer(predicted),
    )
    client = script.client()
    assert client.train("p", epochs=3, validation=None).head_id == "h"
    sent = json.loads(script.requests[0].content)
    splits = {"train": "train", "validation": None}
    assert sent == {"pack_id": "p", "method": "lab", "params": {"epochs": 3}} | splits
    assert client.head_weights("h")["classes"].tolist() == ["x", "y"]
    (prediction,) = client.predict("h", tmp_path / "a.png", top=1)
    assert prediction.classes == [("x", 0.9)]


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://host", "http://", ""])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(InvalidRequest, match="no address"):
        Client(url)


def test_answers_are_exported() -> None:
    assert featurepack.Pack is Pack
    assert set(featurepack.__all__) <= set(dir(featurepack))
