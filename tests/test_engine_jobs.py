"""Jobs with engines that are faster than eager mode: same promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from cache.errors import Unavailable
from cache.image_files import Entry, ImageFiles
from cache.job import Job
from cache.jobs import Jobs
from cache.recipe import Numerics, Tap
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import jobs as jobs_table
from tests.pictures import write_image_folder
from tests.working import build, plain_network, recipe_of, register, remember, submit, working
from worker import context as worker_context
from worker.context import Context
from worker.engines import engine
from worker.engines.openvino import OpenVinoEngine
from worker.engines.probe import Probe
from worker.loop import step
from worker.pixels.images import decode
from worker.pixels.transforms import apply
from worker.tasks import EXTRACTION

ROWS = 200
RECIPE = recipe_of(tap=Tap("layer1.1.relu_1"))  # [64, 16, 16]: 64 rows to a shard


@pytest.fixture(autouse=True)
def every_job_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "SMALL_JOB", 1)


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    return write_image_folder(store.data_root / "many", {"train": {"a": ROWS}}, side=8)


def features_of(store: Store, job: Job) -> npt.NDArray[Any]:
    with h5py.File(store.pack(job.spec["pack_id"])) as file:
        return np.array(file["features"])


def again(context: Context, job: Job) -> Job:
    """One more step, whatever the pause, and the job after it."""
    with context.database.write() as connection:
        connection.execute(jobs_table.update().values(due=0.0))
    assert step(context, EXTRACTION)
    return Jobs(context.database).get(job.id, EVERYTHING)


@pytest.mark.parametrize("name", ["openvino f32 x2", "openvino f32 x8"])
def test_rows_are_those_of_the_plain_network(store: Store, folder: Path, name: str) -> None:
    manifest = register(store, folder)
    recipe = recipe_of()
    with working(store) as context:
        remember(context, name, recipe)
        (job,) = build(context, manifest, recipe)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert row.provenance["engine"] == name
    assert row.provenance["limited_by"] in ("decode", "compute", "write")
    stored_ND = features_of(store, job)
    network = plain_network("resnet18", 0)
    network.fc = torch.nn.Identity()
    for number in (0, 77, ROWS - 1):
        image = apply(decode((folder / manifest.row_id_N[number]).read_bytes()), recipe.transform)
        with torch.inference_mode():
            expected_D = network(image[None])[0].numpy()
        np.testing.assert_allclose(stored_ND[number], expected_D, atol=1e-4 * expected_D.max())


def test_a_resumed_job_gives_the_same_bytes(
    tmp_path: Path, folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    original, faults = ImageFiles.read, []

    def read(self: ImageFiles, entry: Entry) -> Any:
        if faults and entry.row == faults[0]:
            faults.clear()
            raise Unavailable("the disk does not answer")
        return original(self, entry)

    monkeypatch.setattr(ImageFiles, "read", read)
    for number, stop_at in enumerate((None, 140)):
        own = Store(tmp_path / f"store{number}", store.data_root).create()
        faults[:] = [stop_at] if stop_at else []
        with working(own) as context:
            remember(context, "openvino f32 x8", RECIPE)
            (job,) = submit(context, register(own, folder), [RECIPE])
            if stop_at:
                assert again(context, job).state == "queued"
            ended = again(context, job)
        assert ended.state == "succeeded", ended.error
        found.append(features_of(own, job))
    np.testing.assert_array_equal(found[0], found[1])


def test_an_engine_that_fails_its_certificate_is_replaced(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that keeps the bound on noise, and not on these images."""
    right = OpenVinoEngine.run

    def wrong(self: OpenVinoEngine, images: Tensor) -> dict[str, Tensor]:
        return {layer: rows * 1.001 for layer, rows in right(self, images).items()}

    monkeypatch.setattr(OpenVinoEngine, "run", wrong)
    monkeypatch.setattr(Probe, "holds", lambda *_: True)
    rates = {"openvino f32 x2": 50.0, "openvino f32 x8": 40.0, "eager": 10.0}
    monkeypatch.setattr(
        Probe, "images_per_second", lambda _, engines: {e.name: rates[e.name] for e in engines}
    )
    with working(store) as context:
        (job,) = submit(context, register(store, folder), [RECIPE])
        for name in ("openvino f32 x2", "openvino f32 x8"):
            paused = again(context, job)
            assert paused.state == "queued"
            assert name in paused.attempts[-1]["error"]["detail"]
        ended = again(context, job)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert ended.state == "succeeded", ended.error
    assert row.provenance["engine"] == "eager"
    assert row.provenance["rows_resumed"] == 0, "what the wrong engines wrote is gone"
    assert row.provenance["certificate"]["largest_error"] < 1e-4


def test_the_next_job_finds_the_engine_loaded(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    original = worker_context.make_engine

    def counting(*given: Any) -> Any:
        made.append(given[1].network)
        return original(*given)

    monkeypatch.setattr(worker_context, "make_engine", counting)
    assert store.data_root is not None
    other = write_image_folder(store.data_root / "other", {"train": {"b": 40}}, side=9)
    with working(store) as context:
        remember(context, "openvino f32 x2", RECIPE)
        for images in (folder, other):
            (job,) = build(context, register(store, images), RECIPE)
            assert job.state == "succeeded", job.error
        fast = recipe_of(tap=RECIPE.tap, numerics=Numerics("fast"))
        remember(context, "eager", fast)
        (job,) = build(context, register(store, folder), fast)
        assert job.state == "succeeded", job.error
    assert made == ["resnet18", "resnet18"]
