"""Real processes on loopback: sockets, SIGKILL, SIGTERM."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pytest

from cache.store import Store
from tests.pictures import write_image_folder

ROOT = Path(__file__).parents[1]
PAIR = {
    "network": "resnet18",
    "dataset": "set",
    "weights": "random:0",
    "tap": "layer1",
    "transform": {"preset": "stretch", "size": 128},
}
"""Rows of [64, 32, 32]: 32 to a shard, so there are many shards to be killed between."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(module: str, store: Store, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    env = os.environ | {
        "FEATUREPACK_STORE": str(store.root),
        "FEATUREPACK_DATA_ROOT": str(store.data_root),
        "FEATUREPACK_LEASE_SECONDS": "2",
    }
    command = [sys.executable, "-m", module, *arguments]
    running = subprocess.Popen(command, env=env, cwd=ROOT)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@contextmanager
def service(store: Store) -> Iterator[httpx.Client]:
    port = free_port()
    with (
        process("service", store, "--port", str(port)) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70) as http,
    ):
        deadline = time.monotonic() + 30
        while True:
            try:
                http.get("/healthz").raise_for_status()
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "the service did not start"
                time.sleep(0.05)
        yield http
        running.send_signal(signal.SIGTERM)
        assert running.wait(15) == 0


def register(http: httpx.Client) -> None:
    body = {"name": "set", "source": {"kind": "folder", "path": "set"}}
    reply = http.post("/v1/datasets", json=body)
    assert reply.status_code == 201, reply.text


def rows_done(http: httpx.Client, job_id: str) -> int:
    return int(http.get(f"/v1/jobs/{job_id}").json()["progress"].get("rows_done", 0))


def wait_until(true: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def features(store: Store, pack_id: str) -> np.ndarray:
    with h5py.File(store.pack(pack_id)) as file:
        return np.array(file["features"])


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    return write_image_folder(store.data_root / "set", {"train": {"a": 400, "b": 240}}, side=16)


def test_a_killed_worker_loses_nothing_and_nothing_is_computed_twice(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    with service(store) as http:
        with process("worker", store) as worker:
            register(http)
            job = http.post("/v1/jobs", json=PAIR).json()
            wait_until(lambda: rows_done(http, job["id"]) >= 160)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        assert http.get(f"/v1/jobs/{job['id']}").json()["state"] == "running"
        assert list((store.root / "packs").iterdir()) == [], "no half pack is ever shown"
        with process("worker", store):
            ended = http.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"}).json()
        assert ended["state"] == "succeeded", ended
        assert ended["attempt"] == 2
        pack = http.get(f"/v1/packs/{job['pack_id']}").json()
        assert 0 < pack["provenance"]["rows_computed"] <= 640 - 128
    other = Store(tmp_path / "other", store.data_root).create()
    with service(other) as http, process("worker", other):
        register(http)
        whole = http.post("/v1/jobs", json=PAIR, headers={"Prefer": "wait=60"}).json()
    assert whole["pack_id"] == job["pack_id"]
    expected = features(other, job["pack_id"])
    assert features(store, job["pack_id"]).tobytes() == expected.tobytes()


def test_a_frozen_worker_is_fenced_off(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store) as frozen:
        register(http)
        job = http.post("/v1/jobs", json=PAIR).json()
        wait_until(lambda: rows_done(http, job["id"]) >= 64)
        frozen.send_signal(signal.SIGSTOP)
        with process("worker", store):
            wait_until(lambda: http.get(f"/v1/jobs/{job['id']}").json()["attempt"] == 2)
            frozen.send_signal(signal.SIGCONT)
            ended = http.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"}).json()
        assert (ended["state"], ended["attempt"]) == ("succeeded", 2), ended
        frozen.send_signal(signal.SIGTERM)
        assert frozen.wait(15) == 0
        verified = http.post(f"/v1/packs/{job['pack_id']}/verify")
        assert verified.status_code in (200, 202)
    assert list((store.root / "building").iterdir()) == []


def test_sigterm_hands_the_job_back_and_exits_well(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store) as worker:
        register(http)
        job = http.post("/v1/jobs", json=PAIR).json()
        wait_until(lambda: rows_done(http, job["id"]) >= 64)
        began = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(15) == 0
        assert time.monotonic() - began < 10
        assert http.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"
        assert http.get("/readyz").status_code == 503


def test_a_running_job_is_cancelled(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store):
        register(http)
        job = http.post("/v1/jobs", json=PAIR).json()
        wait_until(lambda: rows_done(http, job["id"]) >= 32)
        assert http.post(f"/v1/jobs/{job['id']}/cancel").json()["cancelling"] is True
        ended = http.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=20"}).json()
        assert ended["state"] == "cancelled"
    assert list((store.root / "packs").iterdir()) == []


@pytest.mark.parametrize("module", ["service", "worker"])
def test_wrong_settings_are_said_in_one_line(module: str) -> None:
    env = os.environ | {"FEATUREPACK_DATABASE": "mysql://localhost/x"}
    command = [sys.executable, "-m", module]
    ended = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "mysql" in ended.stderr
    assert "Traceback" not in ended.stderr
