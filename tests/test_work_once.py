"""No row is computed twice: many who ask at once, several workers, datasets that grow."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from cache.store import Store
from tests.pictures import write_image_folder
from tests.postgres_server import postgres_server
from tests.processes import (
    PAIR,
    content,
    ended,
    insist,
    process,
    register,
    service,
    submit,
    uninterrupted,
    wait_until,
)

SUBMISSIONS = 200
PAIRS = [PAIR | {"weights": f"random:{seed}"} for seed in range(10)]


@pytest.fixture(params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The settings of service and worker: both databases, and the usual lease."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / 'jobs.db'}"
        else:
            url = stack.enter_context(postgres_server()).url
        yield {"database": url, "lease_seconds": "30"}


def write_images(store: Store, train: int, seed: int = 0) -> Path:
    """As many images of two classes as the dataset ``set``."""
    assert store.data_root is not None
    splits = {"train": {"a": train // 2, "b": train - train // 2}}
    return write_image_folder(store.data_root / "set", splits, side=16, seed=seed)


def test_many_submissions_at_once_are_one_job_per_pair(
    store: Store, settings: dict[str, str]
) -> None:
    write_images(store, 8)
    with service(store, **settings) as http, ExitStack() as stack:
        with process("worker", store, **settings):
            register(http)
        answers = submit_all_at_once(http.base_url)
        job_ids = {answer["id"] for answer in answers}
        assert len(job_ids) == len(PAIRS)
        for number, answer in enumerate(answers):
            assert answer["id"] == answers[number % len(PAIRS)]["id"], "a pair has one job"
        for job in listed(http, "/v1/jobs?kind=extract"):
            assert len(job["submitters"]) == SUBMISSIONS // len(PAIRS)
        stack.enter_context(process("worker", store, **settings))
        wait_until(lambda: any(job["started"] for job in listed(http, "/v1/jobs?kind=extract")))
        again = submit_all_at_once(http.base_url)  # while the worker is at it
        for one, other in zip(answers, again, strict=True):
            assert one["pack_id"] == other["pack_id"]
            assert other["object"] == "pack" or other["id"] == one["id"]
        done = [ended(http, job_id) for job_id in job_ids]
        assert {job["state"] for job in done} == {"succeeded"}
        packs = {pack["pack_id"] for pack in listed(http, "/v1/packs")}
        assert packs == {job["pack_id"] for job in done}
        assert len(listed(http, "/v1/jobs?kind=extract")) == len(PAIRS)
    assert {path.stem for path in (store.root / "packs").iterdir()} == packs


def submit_all_at_once(base_url: httpx.URL) -> list[dict[str, Any]]:
    """Every pair by as many teams as there are, each from a thread of its own."""
    together = threading.Barrier(SUBMISSIONS)

    def submit_one(number: int) -> dict[str, Any]:
        body = PAIRS[number % len(PAIRS)] | {"submitter": f"team-{number}"}
        together.wait(30)
        found: dict[str, Any] = insist(http, "POST", "/v1/jobs", json=body)
        return found

    connections = httpx.Limits(max_connections=SUBMISSIONS)
    with (
        httpx.Client(base_url=base_url, limits=connections, timeout=70) as http,
        ThreadPoolExecutor(SUBMISSIONS) as teams,
    ):
        return list(teams.map(submit_one, range(SUBMISSIONS)))


def listed(http: httpx.Client, path: str) -> list[dict[str, Any]]:
    reply = http.get(path, params=httpx.URL(path).params.set("limit", 500))
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


def test_two_workers_never_compute_the_same_shard(store: Store, settings: dict[str, str]) -> None:
    rows = 192
    write_images(store, rows)
    pairs = [PAIR | {"weights": f"random:{seed}"} for seed in range(4)]
    with (
        service(store, **settings) as http,
        process("worker", store, worker="one", threads="1", **settings),
        process("worker", store, worker="two", threads="1", **settings),
    ):
        wait_until(lambda: len(http.get("/readyz").json().get("workers", ())) == 2)
        register(http)
        jobs = [ended(http, job["id"]) for job in [submit(http, pair) for pair in pairs]]
        packs = {job["pack_id"]: http.get(f"/v1/packs/{job['pack_id']}").json() for job in jobs}
    for job in jobs:
        assert job["state"] == "succeeded", job
        (attempt,) = job["attempts"]
        assert (attempt["attempt"], attempt["outcome"]) == (1, "succeeded")
        assert job["result"]["rows_computed"] == rows
        assert job["result"]["rows_copied"] == 0
        provenance = packs[job["pack_id"]]["provenance"]
        assert (provenance["worker"], provenance["rows_computed"]) == (attempt["worker"], rows)
    assert {job["attempts"][0]["worker"] for job in jobs} == {"one", "two"}


def test_a_dataset_that_grew_by_a_tenth_costs_at_most_a_tenth(store: Store, tmp_path: Path) -> None:
    folder = write_images(store, 200)
    with service(store) as http, process("worker", store, lease_seconds="30"):
        register(http)
        first = ended(http, submit(http, PAIR)["id"])
        assert first["state"] == "succeeded", first
        add_between(folder, new=18, copies=2)
        assert register(http)["rows"] == 220
        (estimate,) = http.post("/v1/jobs/estimate", json=PAIR).json()["items"]
        assert estimate["cached"] is False
        assert (estimate["rows_to_compute"], estimate["rows_cached"]) == (18, 202)
        grown = ended(http, submit(http, PAIR)["id"])
    assert grown["state"] == "succeeded", grown
    assert grown["result"]["rows"] == 220
    assert grown["result"]["rows_computed"] == estimate["rows_to_compute"]
    assert grown["result"]["rows_copied"] == estimate["rows_cached"]
    other = uninterrupted(tmp_path / "other", store.data_root, [PAIR])
    assert content(store, grown["pack_id"]) == content(other, grown["pack_id"])


def add_between(folder: Path, *, new: int, copies: int) -> None:
    """Images whose names lie between those that are there; the copies repeat what is there."""
    there = sorted((folder / "train").rglob("*.png"))
    spread = there[:: len(there) // (new + copies)][: new + copies]
    made = write_image_folder(folder.parent / "new", {"new": {"x": new}}, side=16, seed=1)
    sources = [*sorted(made.rglob("*.png")), *there[:copies]]
    for before, source in zip(spread, sources, strict=True):
        shutil.copy(source, before.with_name(f"{before.stem}-later.png"))
