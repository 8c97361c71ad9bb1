"""Faults that pass are waited out, faults that stay end the job; neither costs finished work."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from cache.disk_faults import unreadable
from cache.errors import (
    CorruptData,
    FeaturepackError,
    LeaseLost,
    NotFound,
    Unavailable,
    Unreachable,
)
from cache.image_files import Entry, ImageFiles
from cache.job import Job
from cache.jobs import Jobs
from cache.leases import Leases
from cache.pack import open_pack
from cache.recipe import Tap
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import jobs as jobs_table
from tests.pictures import write_image_folder
from tests.working import recipe_of, register, submit, working
from worker import loop
from worker.context import Context
from worker.faults import as_failure, is_passing
from worker.lease import SHARD_GRACE_SECONDS, Cancelled, Lease, Stopping
from worker.loop import step
from worker.tasks import EXTRACTION

RECIPE = recipe_of(tap=Tap("layer1.1.relu_1"))  # [64, 16, 16]: 64 rows to a shard


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    return write_image_folder(store.data_root / "many", {"train": {"a": 200}}, side=8)


def make_due(context: Context) -> None:
    """As if the pause were over."""
    with context.database.write() as connection:
        connection.execute(jobs_table.update().values(due=0.0))


def again(context: Context, job: Job) -> Job:
    """One more step, and the job after it."""
    make_due(context)
    assert step(context, EXTRACTION)
    return Jobs(context.database).get(job.id, EVERYTHING)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (Unavailable("the database is away"), True),
        (Unreachable("no download"), False),
        (CorruptData("the weights are damaged"), False),
        (NotFound("no manifest"), False),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Quota exceeded"), True),
        (OSError("Can't write (file write failed: errno = 28, error message = 'No space')"), True),
        (OSError(errno.EIO, "Input/output error"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (ZeroDivisionError("boom"), False),
    ],
    ids=repr,
)
def test_which_faults_pass(error: Exception, passing: bool) -> None:
    failure = as_failure(error)
    assert is_passing(failure) is passing
    assert failure.message


def test_a_full_disk_is_called_that() -> None:
    assert "the disk is full" in as_failure(OSError(errno.ENOSPC, "No space left")).message


def test_a_file_that_may_not_be_read_stays_so_one_on_a_sick_disk_may_recover() -> None:
    assert unreadable(PermissionError(errno.EACCES, "x")) is Unreachable
    assert unreadable(OSError(errno.EIO, "x")) is Unavailable


def test_a_passing_fault_pauses_the_job_and_costs_nothing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = register(store, folder)
    original, faults = ImageFiles.read, []

    def read(self: ImageFiles, entry: Entry) -> Any:
        if faults and entry.row == faults[0]:
            faults.clear()
            raise Unavailable("the disk does not answer", remedy="look at it")
        return original(self, entry)

    monkeypatch.setattr(ImageFiles, "read", read)
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        for failures, row_number in ((1, 140), (2, 190)):
            faults.append(row_number)
            paused = again(context, job)
            assert (paused.state, paused.failures) == ("queued", failures)
            assert paused.next_try is not None
            assert paused.attempts[-1]["outcome"] == "retrying"
            assert paused.attempts[-1]["error"]["detail"] == "the disk does not answer"
            assert not step(context, EXTRACTION), "it pauses"
            assert len(context.leases.recorded_shards(job.spec["pack_id"])) == 2
        ended = again(context, job)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert ended.state == "succeeded", ended.error
    assert row.provenance["rows_resumed"] == 128
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []


def test_a_full_disk_is_found_before_anything_is_computed(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    manifest = register(store, folder)
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        monkeypatch.setattr(os, "posix_fallocate", full)
        paused = again(context, job)
        assert paused.state == "queued"
        assert "the disk is full" in paused.attempts[-1]["error"]["detail"]
        assert "make space" in paused.attempts[-1]["error"]["remedy"]
        assert [path for path in store.root.rglob("*.h5") if "datasets" not in path.parts] == []
        monkeypatch.undo()
        assert again(context, job).state == "succeeded"


def test_lasting_faults_are_not_tried_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def corrupt(*_: Any) -> None:
        raise CorruptData("the weights are damaged", remedy="fetch them again")

    manifest = register(store, folder)
    monkeypatch.setattr(Context, "build_network", corrupt)
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        ended = again(context, job)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["detail"] == "the weights are damaged"
    assert [one["outcome"] for one in ended.attempts] == ["failed"]


def test_the_database_may_be_away_while_rows_are_computed(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shards are recorded later, at the latest before the pack is published."""
    original, away = Leases.record_shards, [True] * 3

    def record(self: Leases, job: Job, shards: Any) -> None:
        if away:
            away.pop()
            raise Unavailable("the database does not answer")
        original(self, job, shards)

    manifest = register(store, folder)
    monkeypatch.setattr(Leases, "record_shards", record)
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        ended = again(context, job)
    assert away == []
    assert (ended.state, ended.attempt) == ("succeeded", 1)


def test_a_commit_whose_answer_was_lost_publishes_once(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, lost = Leases.finish, [True]

    def finish(self: Leases, job: Job, publish: Any) -> None:
        if lost:
            lost.pop()
            with pytest.raises(ZeroDivisionError):  # the transaction is rolled back …
                original(self, job, lambda connection: publish(connection) and 1 / 0)
            raise Unavailable("the connection broke")  # … after the file got its name
        original(self, job, publish)

    manifest = register(store, folder)
    monkeypatch.setattr(Leases, "finish", finish)
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        assert again(context, job).state == "succeeded"
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []


class _Jobs:
    """A queue that answers heartbeats, or does not."""

    away = False

    def heartbeat(self, *_: Any) -> bool:
        if self.away:
            raise Unavailable("away")
        return False


def lease_of(lease_seconds: float, stop: threading.Event) -> tuple[Lease, _Jobs]:
    fake, job = _Jobs(), object.__new__(Job)
    object.__setattr__(job, "id", "j")
    return Lease(fake, [job], lease_seconds, stop, lambda: None), fake  # type: ignore[arg-type]


def test_work_goes_on_without_the_database_as_long_as_the_lease_holds() -> None:
    lease, fake = lease_of(1.0, threading.Event())
    calls: list[float] = []

    def do() -> str:
        calls.append(time.monotonic())
        if fake.away:
            raise Unavailable("away")
        return "done"

    with lease:
        fake.away = True
        threading.Timer(0.4, lambda: setattr(fake, "away", False)).start()
        assert lease.insist(do) == "done"
        assert len(calls) > 1
        fake.away = True
        with pytest.raises(LeaseLost):
            lease.insist(do)


def test_a_worker_that_is_to_end_may_finish_its_shard() -> None:
    stop = threading.Event()
    lease, _ = lease_of(60.0, stop)
    with lease:
        lease.check(between_shards=True)
        stop.set()
        lease.check()
        with pytest.raises(Stopping):
            lease.check(between_shards=True)
        lease._stopping_since -= SHARD_GRACE_SECONDS
        with pytest.raises(Stopping):
            lease.check()
        lease.cancelled.add("j")
        with pytest.raises(Cancelled):
            lease.check()


def test_a_lane_outlives_whatever_a_step_raises(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def odd(context: Context, tasks: Any) -> bool:
        if context.store is not store:  # another test's worker, which goes on meanwhile
            return real(context, tasks)
        calls.append(1)
        if len(calls) == 1:
            raise FeaturepackError("nobody expected this")
        if len(calls) == 2:
            raise Unavailable("the database is away")
        context.stop.set()
        return False

    real = loop.step
    monkeypatch.setattr(loop, "step", odd)
    with working(store, poll_seconds=0.01) as context:
        loop._lane(context, {})
    assert len(calls) == 3


def test_a_store_that_is_not_mounted_is_waited_for(store: Store, folder: Path) -> None:
    manifest = register(store, folder)
    away = store.root.with_name("away")
    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        (store.root / "store.id").rename(away)
        with pytest.raises(Unavailable, match="the store is gone"):
            step(context, EXTRACTION)
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "queued"
        away.rename(store.root / "store.id")
        assert again(context, job).state == "succeeded"


def test_what_fails_for_want_of_the_store_passes_when_it_is_back(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = register(store, folder)
    away = store.root.with_name("away")

    def unmounted(*_: Any) -> None:
        (store.root / "store.id").rename(away)
        raise NotFound("no such manifest")

    with working(store) as context:
        (job,) = submit(context, manifest, [RECIPE])
        monkeypatch.setattr(Context, "build_network", unmounted)
        paused = again(context, job)
        assert paused.state == "queued"
        assert paused.attempts[-1]["error"]["detail"] == "the store is gone"
        monkeypatch.undo()
        away.rename(store.root / "store.id")
        assert again(context, job).state == "succeeded"
