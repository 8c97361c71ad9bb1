"""Services and workers as real processes on loopback, to be killed and started again."""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import httpx
from sqlalchemy import make_url

from cache.store import Store

ROOT = Path(__file__).parents[1]
PAIR: dict[str, Any] = {
    "network": "resnet18",
    "dataset": "set",
    "weights": "random:0",
    "tap": "layer1",
    "transform": {"preset": "stretch", "size": 128},
}
"""Rows of [64, 32, 32]: 32 to a shard, so there are many shards to be killed between."""

LEASE_SECONDS = "2"
"""Short, so that a job is soon taken up again; what a test sets itself goes first."""

CONTENT = ("features", "labels", "row_hash", "row_id", "valid", "shard_hash")

DATABASE_AWAY = 2
"""What a process ends with that finds no database when it starts."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(module: str, store: Store, *arguments: str, **settings: str) -> subprocess.Popen[bytes]:
    """``python -m module``; a setting ``keep_seconds`` is ``FEATUREPACK_KEEP_SECONDS``."""
    places = {"store": str(store.root), "data_root": str(store.data_root)}
    given = {"lease_seconds": LEASE_SECONDS} | places | settings
    env = os.environ | {f"FEATUREPACK_{name.upper()}": value for name, value in given.items()}
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=env, cwd=ROOT)


@contextmanager
def process(
    module: str, store: Store, *arguments: str, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    running = launch(module, store, *arguments, **settings)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def end(running: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, as whoever runs it does. It ends well."""
    running.send_signal(signal.SIGTERM)
    assert running.wait(30) == 0


@contextmanager
def service(store: Store, **settings: str) -> Iterator[httpx.Client]:
    port = free_port()
    with (
        process("service", store, "--port", str(port), **settings) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=70) as http,
    ):
        insist(http, "GET", "/healthz")
        yield http
        end(running)


class Watched:
    """A process under a supervisor: whenever it has ended it is started again."""

    def __init__(self, module: str, store: Store, *arguments: str, **settings: str) -> None:
        self._launch = partial(launch, module, store, *arguments, **settings)
        self._name = module
        self._retired = False
        self.running = self._launch()

    def kill(self) -> None:
        """SIGKILL, and at once a new one."""
        self.end()
        self.running = self._launch()

    def watch(self) -> None:
        """Start it again if it ended because it found no database; nothing else may end it."""
        if not self._retired and (code := self.running.poll()) is not None:
            assert code == DATABASE_AWAY, f"the {self._name} ended by itself with {code}"
            self.running = self._launch()

    def retire(self) -> None:
        """SIGTERM, and no new one."""
        self._retired = True
        end(self.running)

    def end(self) -> None:
        self.running.kill()
        self.running.wait()


@contextmanager
def watched(module: str, store: Store, *arguments: str, **settings: str) -> Iterator[Watched]:
    one = Watched(module, store, *arguments, **settings)
    try:
        yield one
    finally:
        one.end()


def insist(
    http: httpx.Client,
    method: str,
    path: str,
    *,
    seconds: float = 90,
    meanwhile: Callable[[], None] = lambda: None,
    **options: Any,
) -> Any:
    """What a patient client gets: it tries again while nobody answers, and after a 503."""
    deadline = time.monotonic() + seconds
    while True:
        meanwhile()
        try:
            reply = http.request(method, path, **options)
        except httpx.TransportError as error:
            problem = repr(error)
        else:
            if reply.status_code != 503:
                assert reply.is_success, reply.text
                return reply.json()
            problem = reply.text
        assert time.monotonic() < deadline, f"{method} {path}: {problem}"
        time.sleep(0.05)


def wait_until(true: Callable[[], object], seconds: float = 60, what: str = "") -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what or "waited in vain"
        time.sleep(0.02)


def freeze(worker: subprocess.Popen[bytes], store: Store) -> None:
    """SIGSTOP, but never in the middle of a write to SQLite.

    There it would keep the database locked until it wakes or is killed (docs/surviving.md).
    """
    path = make_url(store.database_url).database
    while True:
        worker.send_signal(signal.SIGSTOP)
        wait_until(lambda: stopped(worker))
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=rw", 2, uri=True)) as database:
                database.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError:
            worker.send_signal(signal.SIGCONT)
            time.sleep(0.05)


def stopped(worker: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{worker.pid}/stat").read_text()
    return status.rpartition(")")[2].split()[0] == "T"


def register(http: httpx.Client, name: str = "set") -> dict[str, Any]:
    """The folder of this name as the next version of the dataset of this name."""
    body = {"name": name, "source": {"kind": "folder", "path": name}}
    reply = http.post("/v1/datasets", json=body)
    assert reply.status_code == 201, reply.text
    found: dict[str, Any] = reply.json()
    return found


def submit(http: httpx.Client, pair: dict[str, Any]) -> dict[str, Any]:
    """The job of a pair that is not cached."""
    reply = http.post("/v1/jobs", json=pair)
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    return job


def job_of(http: httpx.Client, job_id: str) -> dict[str, Any]:
    reply = http.get(f"/v1/jobs/{job_id}")
    assert reply.status_code == 200, reply.text
    job: dict[str, Any] = reply.json()
    return job


def ended(http: httpx.Client, job_id: str) -> dict[str, Any]:
    """The job as it is when it has ended."""
    wait_until(lambda: job_of(http, job_id)["finished"], 180, f"job {job_id} does not end")
    return job_of(http, job_id)


def rows_done(http: httpx.Client, job_id: str) -> int:
    return int(job_of(http, job_id)["progress"].get("rows_done", 0))


def content(store: Store, pack_id: str) -> dict[str, Any]:
    """Everything that a pack holds, read by plain h5py; the features as a hash, for they are many.

    What is left out says when, where and how fast it was made.
    """
    with h5py.File(store.pack(pack_id)) as file:
        found = {name: file[name][()] for name in CONTENT}
        attributes = {name: file.attrs[name] for name in ("recipe", "classes", "splits")}
    digests = {
        name: values.tolist()
        if values.dtype == object
        else (values.shape, str(values.dtype), hashlib.sha256(values.tobytes()).hexdigest())
        for name, values in found.items()
    }
    return digests | {name: str(value) for name, value in attributes.items()}


def uninterrupted(root: Path, data_root: Path | None, pairs: list[dict[str, Any]]) -> Store:
    """Another store, in which nothing happened to the same pairs."""
    store = Store(root, data_root).create()
    with service(store, lease_seconds="30") as http, process("worker", store, lease_seconds="30"):
        register(http)
        for job in [submit(http, pair) for pair in pairs]:
            assert ended(http, job["id"])["state"] == "succeeded"
    return store
