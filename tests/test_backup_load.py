"""Backups of a service that works, by the command, in real processes; killed at unlucky moments."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from cache.backup.record import backups_in
from cache.backup.taking import PART
from cache.catalogue import Catalogue
from cache.database import Database
from cache.store import Store
from tests.keeping import keep_real_pack
from tests.pictures import write_image_folder
from tests.postgres_server import postgres_server
from tests.processes import ROOT, ended, process, register, service, wait_until
from tests.serving import images, zipped

PAIR: dict[str, Any] = {
    "network": "squeezenet1_1",
    "transform": {"preset": "stretch", "size": 64},
}
LARGE = 4
"""So many packs of 32 MB: a backup takes long enough to be killed in the middle."""


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that is gone after the test: it holds more than pytest should keep."""
    folder = Path(tempfile.mkdtemp(prefix="featurepack-backup-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", "postgresql"])
def databases(request: pytest.FixtureRequest, room: Path) -> Iterator[tuple[str, str]]:
    """The address of the database, and of an empty one to restore into."""
    if request.param == "sqlite":
        yield f"sqlite:///{room / 'one.db'}", f"sqlite:///{room / 'two.db'}"
        return
    with postgres_server() as server:
        host = server.url.partition("?")[2].removeprefix("host=")
        with psycopg.connect(host=host, user="postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE other")
        yield server.url, server.url.replace("/postgres?", "/other?")


def command(store: Store, database: str, *arguments: str) -> subprocess.Popen[bytes]:
    settings = {"FEATUREPACK_STORE": str(store.root), "FEATUREPACK_DATABASE": database}
    line = [sys.executable, "-m", "featurepack.cli.main", *arguments]
    return subprocess.Popen(line, env=os.environ | settings, cwd=ROOT)


def kill_in_the_middle(
    start: Callable[[], subprocess.Popen[bytes]], begun: Callable[[], bool]
) -> None:
    """SIGKILL as soon as it has begun; it may not end before that."""
    running = start()
    wait_until(lambda: begun() or running.poll() is not None)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it ended before it could be killed"


class Users:
    """A thread that submits pairs, trains on their packs and deletes some, without a pause."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.deleted = 0
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            number = 0
            while not self._stop.is_set():
                for dataset in ("set", "uploaded"):
                    self._use(PAIR | {"dataset": dataset, "weights": f"random:{number}"}, number)
                number += 1
        except BaseException as failure:
            self.failure = failure

    def _use(self, pair: dict[str, Any], number: int) -> None:
        reply = self._http.post("/v1/jobs", json=pair, headers={"Prefer": "wait=60"})
        assert reply.status_code == 200, reply.text
        pack_id = reply.json()["pack_id"]
        body = {"pack_id": pack_id, "method": "ridge", "validation": None}
        assert self._http.post("/v1/heads", json=body).status_code in (200, 202)
        if number % 2:
            assert self._http.delete(f"/v1/packs/{pack_id}").status_code == 204
            self.deleted += 1

    @contextmanager
    def busy(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()
        assert self.failure is None, self.failure


def test_every_pack_of_a_backup_under_load_verifies_where_it_is_restored(
    room: Path, databases: tuple[str, str]
) -> None:
    write_image_folder(room / "data" / "set", {"train": {"a": 8, "b": 8}}, side=16)
    store = Store(room / "store", room / "data").create()
    folder = room / "backups"
    with (
        service(store, database=databases[0]) as http,
        process("worker", store, database=databases[0]),
    ):
        wait_until(lambda: http.get("/readyz").is_success)
        register_both(http)
        large = keep_large_packs(databases[0], store)
        users = Users(http)
        with users.busy():
            wait_until(lambda: users.deleted or users.failure)
            kill_in_the_middle(
                lambda: command(store, databases[0], "backup", str(folder)),
                (folder / PART / "files" / "packs").is_dir,
            )
            assert backups_in(folder) == []
            for number in range(2):
                wait_until(lambda least=2 * number: users.deleted > least or users.failure)
                assert command(store, databases[0], "backup", str(folder)).wait(120) == 0
        assert len(backups_in(folder)) == 2
    other = Store(room / "other", store.data_root)

    def restore() -> subprocess.Popen[bytes]:
        return command(other, databases[1], "restore", str(folder))

    kill_in_the_middle(restore, other.restoring_file.exists)
    with process("worker", other, database=databases[1]) as worker:
        assert worker.wait(60) == 2, "nobody works on half of a store"
    assert restore().wait(120) == 0
    with (
        service(other, database=databases[1]) as http,
        process("worker", other, database=databases[1]),
    ):
        verify_all(http, large)


def register_both(http: httpx.Client) -> None:
    """A folder that stays where it is, and an archive that is kept in the store."""
    register(http)
    names = [f"train/{name}/{number}.png" for name in "ab" for number in range(6)]
    archive = zipped(dict(zip(names, images(len(names)), strict=True)))
    reply = http.post(
        "/v1/datasets",
        data={"name": "uploaded"},
        files=[("file", ("uploaded.zip", archive))],
        headers={"Prefer": "wait=60"},
    )
    assert reply.status_code == 201, reply.text


def keep_large_packs(url: str, store: Store) -> set[str]:
    database = Database(url)
    try:
        catalogue = Catalogue(database)
        kept = [keep_real_pack(catalogue, store, seed, 2000, 4096)[0] for seed in range(LARGE)]
    finally:
        database.close()
    return set(kept)


def verify_all(http: httpx.Client, large: set[str]) -> None:
    """By jobs of a real worker; those whose images there are, by extracting rows again."""
    packs = http.get("/v1/packs", params={"limit": 500}).json()["items"]
    assert large < {pack["pack_id"] for pack in packs}, "the users' packs are there as well"
    for pack in packs:
        assert pack["problem"] is None, pack
        query = "" if pack["pack_id"] in large else "?rows=2"
        path = f"/v1/packs/{pack['pack_id']}/verify{query}"
        job = ended(http, http.post(path).json()["id"])
        assert job["state"] == "succeeded", job
    for job in http.get("/v1/jobs", params={"state": "queued"}).json()["items"]:
        # One fails if its pack was deleted before the backup was taken.
        assert ended(http, job["id"])["state"] in ("succeeded", "failed")
    heads = http.get("/v1/heads", params={"limit": 500}).json()["items"]
    assert heads
    for head in heads:
        assert http.get(f"/v1/heads/{head['head_id']}/weights").status_code == 200
