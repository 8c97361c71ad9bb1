"""Real processes on loopback: sockets, SIGKILL, SIGTERM, SIGSTOP."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from cache.store import Store
from tests.pictures import write_image_folder
from tests.processes import (
    PAIR,
    ROOT,
    content,
    end,
    ended,
    freeze,
    job_of,
    process,
    register,
    rows_done,
    service,
    submit,
    uninterrupted,
    wait_until,
)


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    return write_image_folder(store.data_root / "set", {"train": {"a": 1000, "b": 600}}, side=16)


def test_a_killed_worker_loses_nothing_and_nothing_is_computed_twice(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    with service(store) as http:
        with process("worker", store) as worker:
            register(http)
            job = submit(http, PAIR)
            wait_until(lambda: rows_done(http, job["id"]) >= 320)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert job_of(http, job["id"])["state"] == "running"
        assert list((store.root / "packs").iterdir()) == [], "no half pack is ever shown"
        with process("worker", store):
            done = ended(http, job["id"])
        assert done["state"] == "succeeded", done
        assert done["attempt"] == 2
        pack = http.get(f"/v1/packs/{job['pack_id']}").json()
        assert 128 <= pack["provenance"]["rows_resumed"] < 1600
    other = uninterrupted(tmp_path / "other", store.data_root, [PAIR])
    assert content(store, job["pack_id"]) == content(other, job["pack_id"])


def test_a_frozen_worker_is_fenced_off(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store) as frozen:
        register(http)
        job = submit(http, PAIR)
        wait_until(lambda: rows_done(http, job["id"]) >= 64)
        freeze(frozen, store)
        with process("worker", store):
            wait_until(lambda: job_of(http, job["id"])["attempt"] == 2)
            frozen.send_signal(signal.SIGCONT)
            done = ended(http, job["id"])
        assert (done["state"], done["attempt"]) == ("succeeded", 2), done
        end(frozen)
        verified = http.post(f"/v1/packs/{job['pack_id']}/verify")
        assert verified.status_code in (200, 202)
    assert list((store.root / "building").iterdir()) == []


def test_a_worker_that_thaws_after_publication_changes_no_byte(store: Store, folder: Path) -> None:
    dice = random.Random(7)
    published = {}
    with service(store) as http, two_workers(store, http) as workers:
        register(http)
        for seed in range(3):
            job = submit(http, PAIR | {"weights": f"random:{seed}"})
            moment = dice.randrange(16, 608)
            wait_until(lambda: rows_done(http, job["id"]) >= moment)  # noqa: B023
            frozen = workers[job_of(http, job["id"])["worker"]]
            freeze(frozen, store)
            done = ended(http, job["id"])
            assert done["state"] == "succeeded", done
            before = digest(store.pack(job["pack_id"]))
            published[job["pack_id"]] = before
            frozen.send_signal(signal.SIGCONT)
        for worker in workers.values():
            end(worker)  # it has left whatever it was doing
    assert {pack_id: digest(store.pack(pack_id)) for pack_id in published} == published
    assert list((store.root / "building").iterdir()) == []


@contextmanager
def two_workers(store: Store, http: httpx.Client) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """By name; both are alive."""
    with (
        process("worker", store, worker="one") as one,
        process("worker", store, worker="two") as two,
    ):
        wait_until(lambda: len(http.get("/readyz").json().get("workers", ())) == 2)
        yield {"one": one, "two": two}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_sigterm_hands_the_job_back_and_exits_well(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store) as worker:
        register(http)
        job = submit(http, PAIR)
        wait_until(lambda: rows_done(http, job["id"]) >= 64)
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
        assert time.monotonic() - began < 10
        assert job_of(http, job["id"])["state"] == "queued"
        assert http.get("/readyz").status_code == 503


def test_a_running_job_is_cancelled(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store):
        register(http)
        job = submit(http, PAIR)
        wait_until(lambda: rows_done(http, job["id"]) >= 32)
        assert http.post(f"/v1/jobs/{job['id']}/cancel").json()["cancelling"] is True
        assert ended(http, job["id"])["state"] == "cancelled"
    assert list((store.root / "packs").iterdir()) == []


@pytest.mark.parametrize("module", ["service", "worker"])
def test_wrong_settings_are_said_in_one_line(module: str) -> None:
    env = os.environ | {"FEATUREPACK_DATABASE": "mysql://localhost/x"}
    command = [sys.executable, "-m", module]
    refused = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "mysql" in refused.stderr
    assert "Traceback" not in refused.stderr
