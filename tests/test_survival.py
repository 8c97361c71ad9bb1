"""Nothing that dies takes work with it: kills, a database that is away, a disk that is full."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from cache.store import Store
from tests.chaos import Chaos, chaos
from tests.pictures import write_image_folder
from tests.postgres_server import PostgresServer, postgres_server
from tests.processes import (
    PAIR,
    content,
    ended,
    insist,
    job_of,
    process,
    register,
    rows_done,
    service,
    submit,
    uninterrupted,
    wait_until,
)

KILLS = int(os.environ.get("FEATUREPACK_KILLS", "24"))
"""Set it to 100 for a longer siege; the work grows with it."""

ROWS = 192
OUTAGE_SECONDS = 20


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder that is gone after the test: these packs are too many to be kept by pytest."""
    with tempfile.TemporaryDirectory(prefix="featurepack-survival-") as folder:
        yield Path(folder)


@pytest.fixture
def store(room: Path) -> Store:
    write_image_folder(room / "data" / "set", {"train": {"a": 120, "b": 72}}, side=16)
    return Store(room / "store", room / "data").create()


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        assert running.ask("SHOW fsync") == "on"
        yield running


def test_kills_at_random_moments_lose_nothing(
    room: Path, store: Store, server: PostgresServer
) -> None:
    with chaos(store, server, rows=ROWS, seed=1) as house:
        register_through(house)
        house.attack(("database", "service", "worker"), KILLS)
        assert_all_is_well(house, room, store, KILLS, {"database": server.url})


def test_kills_over_sqlite_lose_nothing(room: Path, store: Store) -> None:
    with chaos(store, None, rows=ROWS, seed=2) as house:
        register_through(house)
        house.attack(("service", "worker"), 8)
        assert_all_is_well(house, room, store, 8, {})


def register_through(house: Chaos) -> None:
    source = {"kind": "folder", "path": "set"}
    house.call("POST", "/v1/datasets", json={"name": "set", "source": source})
    wait_until(lambda: house.call("GET", "/v1/datasets")["items"])


def assert_all_is_well(
    house: Chaos, room: Path, store: Store, kills: int, settings: dict[str, str]
) -> None:
    house.settle()
    assert house.hits >= kills / 2, "the kills should hit work in progress"
    jobs = house.jobs()
    packs = {job["pack_id"] for job in jobs}
    assert len(jobs) == len(packs) == len(house.pairs), "one job for each pair"
    listed = house.call("GET", "/v1/packs", params={"limit": 500})["items"]
    assert {pack["pack_id"] for pack in listed} == packs
    assert {path.stem for path in (store.root / "packs").iterdir()} == packs
    other = uninterrupted(room / "other", store.data_root, house.pairs)
    for pack_id in sorted(packs):
        assert content(store, pack_id) == content(other, pack_id), pack_id
    leave_behind(store)
    # Every worker sweeps when it starts. No job is active by now, and with keep_seconds 0 nothing
    # is too young to be cleared, so that one start is enough.
    with process("worker", store, keep_seconds="0", **settings):
        wait_until(lambda: not leftovers(store), 60, "the sweep leaves something")


def leave_behind(store: Store) -> None:
    """What a crash leaves at unlucky moments, so that the sweep is tried whatever the dice said."""
    store.building("0-0").mkdir()
    (store.building("0-0") / "1.h5").write_bytes(b"half a pack")
    store.new_incoming().write_bytes(b"half an upload")
    (store.root / "datasets" / ".0.h5.0123abcd.part").write_bytes(b"half a manifest")
    (store.root / "packs" / ".0-0.h5.0123abcd.gone").write_bytes(b"a pack that was deleted")


def leftovers(store: Store) -> list[Path]:
    unfinished = [*(store.root / "building").rglob("*"), *(store.root / "incoming").iterdir()]
    return [*unfinished, *store.root.rglob(".*.part"), *store.root.rglob(".*.gone")]


def test_a_database_that_is_away_for_a_while_ends_nothing(
    room: Path, store: Store, server: PostgresServer
) -> None:
    settings = {"database": server.url, "lease_seconds": "30"}
    later = PAIR | {"weights": "random:1"}
    with (
        service(store, **settings) as http,
        process("worker", store, **settings) as worker,
        ThreadPoolExecutor(4) as clients,
    ):
        register(http)
        job = submit(http, PAIR)
        wait_until(lambda: rows_done(http, job["id"]) >= 32)
        server.stop("immediate")
        began = time.monotonic()
        submissions = [
            clients.submit(insist, http, "POST", "/v1/jobs", json=later) for _ in range(4)
        ]
        while time.monotonic() - began < OUTAGE_SECONDS:
            assert_says_that_it_is_away(http, job["id"], later)
        server.start()
        assert len({answer.result()["id"] for answer in submissions}) == 1
        first, second = ended(http, job["id"]), ended(http, submissions[0].result()["id"])
        assert worker.poll() is None
    assert (first["state"], second["state"]) == ("succeeded", "succeeded"), (first, second)
    assert first["attempt"] in (1, 2)
    assert second["attempt"] == 1
    other = uninterrupted(room / "other", store.data_root, [PAIR, later])
    for pack_id in (first["pack_id"], second["pack_id"]):
        assert content(store, pack_id) == content(other, pack_id)


def assert_says_that_it_is_away(http: httpx.Client, job_id: str, pair: dict[str, Any]) -> None:
    for reply in (
        http.get(f"/v1/jobs/{job_id}"),
        http.get("/v1/packs"),
        http.get("/readyz"),
        http.post("/v1/jobs", json=pair),
        http.post("/v1/jobs/estimate", json=pair),
    ):
        assert reply.status_code == 503, reply.text
        assert reply.headers["content-type"] == "application/problem+json"
        assert int(reply.headers["retry-after"]) > 0
        assert reply.json()["type"] == "urn:featurepack:problem:unavailable"
    assert http.get("/healthz").status_code == 200


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of this size on ``folder``, as long as the block lasts."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(["mount", *options], capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("a full disk needs the program mount")
    if mounted.returncode != 0:
        pytest.skip(f"a full disk needs a small one to be mounted (as root): {mounted.stderr}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, keep: int) -> Path:
    """A file that takes all space but ``keep`` bytes."""
    filler = folder / "filler"
    with filler.open("wb") as file:
        while (free := shutil.disk_usage(folder).free - keep) > 0:
            with suppress(OSError):  # where somebody else took some of it just now
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, free)
    return filler


def is_told(job: dict[str, Any]) -> bool:
    """The job pauses, and says that the disk is full."""
    if job["state"] != "queued" or job["next_try"] is None:
        return False
    last = job["attempts"][-1]
    assert last["outcome"] == "retrying"
    assert last["ended"] is not None
    assert "disk is full" in last["error"]["detail"]
    assert last["error"]["remedy"]
    return True


@pytest.mark.parametrize("before", [True, False], ids=["before", "in the middle"])
def test_a_job_waits_for_a_full_disk(room: Path, store: Store, before: bool) -> None:
    settings = {"database": f"sqlite:///{room / 'jobs.db'}", "lease_seconds": "30"}
    with small_disk(room / "small", megabytes=120):
        crowded = Store(room / "small" / "store", store.data_root).create()
        with service(crowded, **settings) as http, process("worker", crowded, **settings) as worker:
            register(http)
            if before:
                filler = fill(crowded.root, keep=20 << 20)
            job = submit(http, PAIR)
            if before:
                wait_until(lambda: is_told(job_of(http, job["id"])), what="no word of the disk")
                assert list((crowded.root / "packs").iterdir()) == []
            else:
                wait_until(lambda: rows_done(http, job["id"]) >= 64)
                filler = fill(crowded.root, keep=0)
                # Either the room for all rows was taken when the file was made, or it is missed.
                wait_until(lambda: is_told(now := job_of(http, job["id"])) or now["finished"])
            filler.unlink()
            done = ended(http, job["id"])
            assert done["state"] == "succeeded", done
            assert worker.poll() is None
        found = content(crowded, job["pack_id"])
    other = uninterrupted(room / "other", store.data_root, [PAIR])
    assert found == content(other, job["pack_id"])
