"""One job on several devices; two processes on the CPU stand in for two GPUs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cache.errors import InvalidRequest, LeaseLost
from cache.jobs import Jobs
from cache.pack_writer import PackWriter
from cache.recipe import Tap
from cache.sight import EVERYTHING
from cache.store import Store
from tests.pictures import write_image_folder
from tests.processes import (
    PAIR,
    content,
    ended,
    job_of,
    process,
    rows_done,
    service,
    uninterrupted,
    wait_until,
)
from tests.processes import register as register_over_http
from tests.processes import submit as submit_over_http
from tests.working import build, recipe_of, register, remember, submit, working
from worker.devices import choose_devices
from worker.loop import step
from worker.sharing import DeviceProcesses, Loaded
from worker.sharing.processes import Helper
from worker.spans import Missing
from worker.tally import Done
from worker.tasks import EXTRACTION

TAPS = [recipe_of(tap=Tap("layer1", "flatten")), recipe_of()]
"""Shards of 32 rows, and of many."""


@pytest.fixture
def folder(store: Store) -> Path:
    """Images of which some are repeated, and one is none."""
    assert store.data_root is not None
    path = write_image_folder(store.data_root / "set", {"train": {"a": 700, "b": 400}}, side=16)
    pictures = sorted((path / "train" / "a").iterdir())
    pictures[500].write_bytes(pictures[3].read_bytes())
    pictures[3].with_name("repeat.png").write_bytes(pictures[600].read_bytes())
    pictures[100].write_bytes(b"no image")
    return path


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Loaded | Done]:
    """What the devices' processes tell."""
    heard: list[Loaded | Done] = []
    original = DeviceProcesses.compute

    def listening(self: DeviceProcesses, *given: Any) -> Iterator[Loaded | Done]:
        for event in original(self, *given):
            heard.append(event)
            yield event

    monkeypatch.setattr(DeviceProcesses, "compute", listening)
    return heard


def test_a_pack_is_what_one_device_makes(
    store: Store, folder: Path, tmp_path: Path, events: list[Loaded | Done]
) -> None:
    alone = Store(tmp_path / "alone", store.data_root).create()
    with working(alone, threads=1) as context:
        remember(context, "openvino f32 x2", *TAPS)
        assert [job.state for job in build(context, register(alone, folder), *TAPS)] == [
            "succeeded",
            "succeeded",
        ]
    with working(store, device="cpu,cpu") as context:
        remember(context, "openvino f32 x2", *TAPS)
        jobs = build(context, register(store, folder), *TAPS)
        pids = {child.pid for child in multiprocessing.active_children()}
        assert len(pids) >= 2, "they are kept for the next job"
        again = build(context, register(store, folder), recipe_of(weights="random:1"))
        assert {child.pid for child in multiprocessing.active_children()} == pids
    assert [job.state for job in (*jobs, *again)] == ["succeeded"] * 3, [job.error for job in jobs]
    for job in jobs:
        pack_id = job.spec["pack_id"]
        assert content(store, pack_id) == content(alone, pack_id)
    assert len([event for event in events if isinstance(event, Loaded)]) == 4, "both, two times"
    first = [event for event in events if isinstance(event, Done)][: len(events) // 2]
    assert len({row for done in first for row in done.row_N.tolist()}) > 500
    with working(store) as context:
        row = context.catalogue.find_pack(jobs[0].spec["pack_id"], EVERYTHING)
    assert row.provenance["device"].startswith("2 x cpu")
    assert row.provenance["limited_by"] in ("decode", "compute", "write")
    assert row.provenance["rows_computed"] == 1099, "a repeat is copied"


def test_no_row_is_computed_twice(store: Store, folder: Path, events: list[Loaded | Done]) -> None:
    with working(store, device="cpu,cpu") as context:
        manifest = register(store, folder)
        build(context, manifest, recipe_of())
    rows = [row for event in events if isinstance(event, Done) for row in event.row_N.tolist()]
    hashes = {manifest.hash_NH[row].tobytes() for row in range(len(manifest))}
    assert len(rows) == len(set(rows)) == len(hashes)


def test_a_fault_in_a_process_is_the_job_s(store: Store, folder: Path) -> None:
    with working(store, device="cpu,cpu") as context:
        (job,) = build(context, register(store, folder), recipe_of(), on_error="fail")
        assert job.state == "failed"
        assert job.error is not None
        assert "cannot be decoded" in job.error["detail"]
        assert list((store.root / "building").iterdir()) == []
        manifest = register(store, folder)
        changed = folder / "train" / "b" / "b399.png"
        changed = sorted((folder / "train" / "b").iterdir())[-1]
        changed.write_bytes(changed.read_bytes() + b"more")
        (job,) = build(context, manifest, recipe_of())
        assert job.state == "failed"
        assert job.error is not None
        assert "changed since it was registered" in job.error["detail"]
        assert list((store.root / "building").iterdir()) == []


def test_a_process_that_dies_costs_no_finished_shard(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    killed: list[int] = []
    original = Helper.receive

    def receive(self: Helper) -> Any:
        event = original(self)
        if isinstance(event, Done) and event.row_N[0] > 800 and not killed:
            assert self.process.pid
            killed.append(self.process.pid)
            os.kill(self.process.pid, signal.SIGKILL)
        return event

    monkeypatch.setattr(Helper, "receive", receive)
    with working(store, device="cpu,cpu") as context:
        (job,) = submit(context, register(store, folder), TAPS[:1])
        assert step(context, EXTRACTION)
        assert killed
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "queued"
        assert "the process of cpu died" in caplog.text
        assert len(context.leases.recorded_shards(job.spec["pack_id"])) >= 4
        wait_until(lambda: step(context, EXTRACTION))
        done = Jobs(context.database).get(job.id, EVERYTHING)
        assert done.state == "succeeded", done.error
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert row.provenance["rows_resumed"] >= 128


def test_a_killed_worker_takes_its_processes_along(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    pair = PAIR | {"on_error": "mask"}
    with service(store) as http:
        with process("worker", store, device="cpu,cpu") as worker:
            register_over_http(http)
            job = submit_over_http(http, pair)
            wait_until(lambda: rows_done(http, job["id"]) >= 256)
            assert len(children := children_of(worker.pid)) >= 2
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 10)
        with process("worker", store, device="cpu,cpu") as worker:
            done = ended(http, job["id"])
            assert (done["state"], done["attempt"]) == ("succeeded", 2), done
            pack = http.get(f"/v1/packs/{job['pack_id']}").json()
            assert pack["provenance"]["rows_resumed"] >= 128
            children = children_of(worker.pid)
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(15) == 0
            assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    other = uninterrupted(tmp_path / "other", store.data_root, [pair])
    assert content(store, job["pack_id"]) == content(other, job["pack_id"])


def test_cancelling_ends_what_the_processes_do(store: Store, folder: Path) -> None:
    with service(store) as http, process("worker", store, device="cpu,cpu") as worker:
        register_over_http(http)
        job = submit_over_http(http, PAIR)
        wait_until(lambda: rows_done(http, job["id"]) >= 64)
        began = time.monotonic()
        assert http.post(f"/v1/jobs/{job['id']}/cancel?force=true").is_success
        wait_until(lambda: job_of(http, job["id"])["state"] == "cancelled")
        assert time.monotonic() - began < 5
        assert children_of(worker.pid) == []


def children_of(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [
        child for child in found if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


@pytest.fixture
def unfinished(store: Store, folder: Path) -> Path:
    """A pack's file as a worker that was killed left it."""
    with working(store) as context:
        (job,) = submit(context, register(store, folder), [recipe_of()])
        monkey = pytest.MonkeyPatch()
        with monkey.context() as patched:
            patched.setattr("worker.forward_pass.ForwardPass.compute", interrupted)
            with pytest.raises(KeyboardInterrupt):
                step(context, EXTRACTION)
    (path,) = (store.root / "building" / job.spec["pack_id"]).iterdir()
    return path


def interrupted(*_: Any) -> None:
    raise KeyboardInterrupt


def test_nobody_joins_a_writer_who_does_not_share(unfinished: Path) -> None:
    with PackWriter(unfinished), pytest.raises(LeaseLost):
        PackWriter.join(unfinished)


def test_a_helper_alone_keeps_other_writers_away(unfinished: Path) -> None:
    writer = PackWriter(unfinished)
    writer.share()
    with PackWriter.join(unfinished) as helper:
        writer.close()
        with pytest.raises(BlockingIOError):
            PackWriter(unfinished)
        helper.write(np.arange(2), np.zeros((2, *helper.layout.row_shape)), np.ones(2, bool))
    PackWriter(unfinished).close()


def test_a_helper_that_is_late_finds_the_file_taken_over(unfinished: Path) -> None:
    elsewhere = unfinished.with_name("other-2.h5")
    with PackWriter(unfinished) as successor:
        successor.move(elsewhere)
        successor.share()
        with pytest.raises(LeaseLost):
            PackWriter.join(unfinished)
        PackWriter.join(elsewhere).close()


def test_the_first_missing_row_is_known_in_whatever_order_rows_come() -> None:
    missing = Missing(np.array([2, 3, 7, 8, 20]))
    assert missing.first == 2
    assert missing.without(np.array([7, 8])) == 2
    assert missing.without(np.array([2])) == 3
    assert missing.without(np.array([3])) == 20
    assert missing.without(np.array([20])) > 10**12


@pytest.mark.parametrize("wanted", ["cuda:99", "tpu", "cpu,", "cuda:-1", "cpu:1"])
def test_devices_that_are_not_there_are_refused(wanted: str) -> None:
    with pytest.raises(InvalidRequest, match="names"):
        choose_devices(wanted)


def test_devices_of_different_kinds_do_not_share_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert [str(one) for one in choose_devices("auto")] == ["cuda:0", "cuda:1"]
    with pytest.raises(InvalidRequest, match="different kinds"):
        choose_devices("cpu,cuda:1")
