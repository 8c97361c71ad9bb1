"""Extraction against a plain torch loop that shares no code with it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from cache.errors import LeaseLost
from cache.job import Job
from cache.jobs import Jobs
from cache.leases import Leases
from cache.pack import open_pack
from cache.recipe import Numerics, Tap, pack_id
from cache.sight import EVERYTHING
from cache.store import Store
from tests.pictures import write_image_folder
from tests.working import (
    build,
    count_images,
    plain_network,
    recipe_of,
    register,
    small,
    submit,
    working,
)
from worker import context as worker_context
from worker import extract as extract_module
from worker import forward_pass, loop
from worker.loop import step
from worker.tasks import EXTRACTION

MEAN = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    splits = {"train": {"a": 21, "b": 20}, "validation": {"a": 5, "b": 4}}
    return write_image_folder(store.data_root / "set", splits)


def plain_features(folder: Path, row_ids: list[str], layer: str, side: int = 64) -> np.ndarray:
    """The naive loop: one image, one forward pass, a hook."""
    network = plain_network("resnet18", 0)
    caught: list[torch.Tensor] = []
    module = network.get_submodule(layer)
    module.register_forward_hook(lambda _module, _inputs, output: caught.append(output))
    rows = []
    for row_id in row_ids:
        pixels = np.asarray(Image.open(folder / row_id).convert("RGB"), np.float32) / 255
        image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
        image = torch.nn.functional.interpolate(
            image, (side, side), mode="bilinear", antialias=True, align_corners=False
        )
        image = (image - MEAN) / STD
        with torch.no_grad():
            network(image)
        rows.append(caught.pop()[0].flatten().numpy())
    return np.stack(rows)


def relative_error(got: np.ndarray, expected: np.ndarray) -> float:
    got = got.reshape(len(got), -1).astype(np.float64)
    expected = expected.reshape(len(expected), -1)
    return float((np.abs(got - expected).max(axis=1) / np.abs(expected).max(axis=1)).max())


def read_features(store: Store, job: Job) -> np.ndarray:
    with h5py.File(store.pack(job.spec["pack_id"]), "r") as file:
        return np.array(file["features"])


def test_features_equal_a_plain_torch_loop(store: Store, folder: Path) -> None:
    manifest = register(store, folder)
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of())
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert job.state == "succeeded", job.error
    assert job.result == {
        "pack_id": job.spec["pack_id"],
        "rows": 50,
        "rows_invalid": 0,
        "rows_copied": 0,
        "rows_computed": 50,
    }
    with h5py.File(store.pack(row.pack_id), "r") as file:
        row_ids = list(file["row_id"].asstr()[:])
        assert row_ids[0] == "train/a/000.png"
        assert json.loads(file.attrs["splits"]) == {"train": [0, 41], "validation": [41, 50]}
        assert json.loads(file.attrs["classes"]) == ["a", "b"]
        assert file["labels"][:].tolist() == [0] * 21 + [1] * 20 + [0] * 5 + [1] * 4
        expected = plain_features(folder, row_ids, "avgpool")
        assert relative_error(file["features"][:], expected) < 1e-4
        provenance = json.loads(file.attrs["provenance"])
    certificate = provenance["certificate"]
    assert len(certificate["rows"]) == 16
    assert 0 < certificate["largest_error"] <= certificate["bound"] == 1e-4
    assert row.bytes == store.pack(row.pack_id).stat().st_size
    assert list((store.root / "building").iterdir()) == []
    assert store.pack(row.pack_id).stat().st_mode & 0o222 == 0


def test_several_taps_share_one_forward_pass(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = register(store, folder)
    taps = [
        Tap("layer2.1.relu_1", "avg"),
        Tap("layer4.1.relu_1"),
        Tap("flatten"),
        Tap("layer4.1.relu_1", "max"),
    ]
    images = count_images(monkeypatch)
    with working(store) as context:
        jobs = build(context, manifest, *[recipe_of(tap=tap) for tap in taps])
    assert [job.state for job in jobs] == ["succeeded"] * 4
    assert sum(images) == 50, "every image once"
    middle, map_, flat, highest = (read_features(store, job) for job in jobs)
    row_ids = open_pack(store.pack(jobs[0].spec["pack_id"])).row_id_N
    assert map_.shape == (50, 512, 2, 2)
    np.testing.assert_allclose(map_.mean(axis=(2, 3)), flat, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(map_.max(axis=(2, 3)), highest)
    expected = plain_features(folder, row_ids, "layer2").reshape(50, 128, -1).mean(axis=2)
    assert relative_error(middle, expected) < 1e-4


def test_a_row_does_not_depend_on_its_neighbours_or_their_order(store: Store, folder: Path) -> None:
    manifest = register(store, folder)
    alone = manifest.take({"train": np.array([17])})
    shuffled = manifest.take({"train": np.random.default_rng(0).permutation(50)})
    with working(store) as context:
        whole, one, mixed = (build(context, m, recipe_of())[0] for m in (manifest, alone, shuffled))
    features = dict(zip(manifest.row_id_N, read_features(store, whole), strict=True))
    assert relative_error(read_features(store, one), features[manifest.row_id_N[17]][None]) < 1e-5
    expected = np.stack([features[row_id] for row_id in shuffled.row_id_N])
    assert relative_error(read_features(store, mixed), expected) < 1e-5


def test_the_same_pair_gives_the_same_bytes_whatever_the_threads(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    manifest = register(store, folder)
    other = Store(tmp_path / "other", store.data_root).create()
    register(other, folder)
    packs = []
    for place, threads in ((store, 1), (other, 2)):
        with working(place, threads=threads) as context:
            (job,) = build(context, manifest, recipe_of())
            packs.append((job.spec["pack_id"], read_features(place, job).tobytes()))
    assert packs[0] == packs[1]


@pytest.mark.parametrize(
    ("numerics", "tolerance"),
    [(Numerics(stored="float16"), 6e-4), (Numerics(compute="fast"), 0.2)],
    ids=["float16", "fast"],
)
def test_other_numerics_keep_their_bound(
    store: Store, folder: Path, numerics: Numerics, tolerance: float
) -> None:
    manifest = register(store, folder)
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of(numerics=numerics))
    assert job.state == "succeeded", job.error
    pack = open_pack(store.pack(job.spec["pack_id"]))
    assert pack.features.dtype == numerics.stored
    expected = plain_features(folder, pack.row_id_N, "avgpool")
    assert relative_error(np.array(pack.features, np.float32), expected) < tolerance
    certificate = pack.provenance["certificate"]
    if numerics.compute == "fast":
        assert certificate["measure"] == "smallest_cosine"
        assert 0.99 <= certificate["smallest_cosine"] < 1
        assert certificate["largest_error"] > 1e-4, "bf16 is not float32"


def break_images(folder: Path) -> None:
    whole = (folder / "train/a/003.png").read_bytes()
    (folder / "train/a/003.png").write_bytes(whole[: len(whole) // 2])
    (folder / "validation/b/001.png").write_bytes(b"no image")


def test_broken_images_are_masked_counted_and_named(store: Store, folder: Path) -> None:
    break_images(folder)
    manifest = register(store, folder)
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of())
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert job.result is not None
    assert job.result["rows_invalid"] == 2
    assert row.invalid_rows == ["train/a/003.png", "validation/b/001.png"]
    pack = open_pack(store.pack(row.pack_id))
    assert np.flatnonzero(~pack.valid_N).tolist() == [3, 47]
    assert not pack.features[[3, 47]].any()
    assert pack.features[[2, 4]].any(axis=1).all()


def test_broken_images_fail_the_job_if_asked(store: Store, folder: Path) -> None:
    break_images(folder)
    manifest = register(store, folder)
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of(), on_error="fail")
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["kind"] == "corrupt-data"
    assert job.error["value"] == "train/a/003.png"
    assert job.error["remedy"]
    assert list((store.root / "building").iterdir()) == []
    assert list((store.root / "packs").iterdir()) == []


def test_a_dataset_without_one_good_image_fails(store: Store, folder: Path) -> None:
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no image")
    with working(store) as context:
        (job,) = build(context, register(store, folder), recipe_of())
    assert job.error is not None
    assert "no image of the dataset can be decoded" in job.error["detail"]
    assert list((store.root / "building").iterdir()) == []


def test_an_image_that_changed_since_it_was_registered_fails_the_job(
    store: Store, folder: Path
) -> None:
    manifest = register(store, folder)
    (folder / "train/b/002.png").write_bytes((folder / "train/b/003.png").read_bytes())
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of())
    assert job.error is not None
    assert "train/b/002.png" in json.dumps(job.error)
    assert list((store.root / "packs").iterdir()) == []


def test_a_wrong_engine_is_caught_by_the_certificate(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = worker_context.make_engine

    def wrong(*arguments: Any) -> Any:
        engine = original(*arguments)
        run = engine.run
        engine.run = lambda images: {k: v * 1.001 for k, v in run(images).items()}
        return engine

    monkeypatch.setattr(worker_context, "make_engine", wrong)
    with working(store) as context:
        (job,) = build(context, register(store, folder), recipe_of())
    assert job.state == "failed"
    assert job.error is not None
    assert "misses its bound" in job.error["detail"]
    assert list((store.root / "building").iterdir()) == []
    assert list((store.root / "packs").iterdir()) == []


def test_one_changed_value_gives_other_features(store: Store, folder: Path) -> None:
    """Identity is not only names: what the id covers does change the rows."""
    manifest = register(store, folder)
    recipes = [
        recipe_of(),
        recipe_of(weights="random:1"),
        recipe_of(transform=small(channels="BGR")),
        recipe_of(transform=replace(small(), mean=(0.5, 0.456, 0.406))),
        recipe_of(transform=small(interpolation="bicubic")),
        recipe_of(transform=small(antialias=False, side=16)),
        recipe_of(transform=small(side=16)),
        recipe_of(transform=small(resample="uint8")),
    ]
    with working(store) as context:
        jobs = [build(context, manifest, recipe)[0] for recipe in recipes]
    assert len({read_features(store, job).tobytes() for job in jobs}) == len(recipes)
    assert len({job.spec["pack_id"] for job in jobs}) == len(recipes)


def test_an_interrupted_extraction_goes_on_from_its_last_shard(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker stops in the middle; the next one computes only what is missing."""
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "many", {"train": {"a": 300}}, side=8)
    manifest = register(store, folder)
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))  # [64, 16, 16]: 64 rows to a shard
    with working(store) as context:
        (job,) = submit(context, manifest, [recipe])
        original = forward_pass.Building.finish
        finished: list[int] = []

        def stop_after_two(self: Any, start: int, stop: int) -> None:
            original(self, start, stop)
            finished.append(start)
            if len(finished) == 2:
                context.stop.set()

        monkeypatch.setattr(forward_pass.Building, "finish", stop_after_two)
        step(context, EXTRACTION)
        jobs = Jobs(context.database)
        assert jobs.get(job.id, EVERYTHING).state == "queued"
        assert store.building(job.spec["pack_id"]).exists()
        assert not store.pack(job.spec["pack_id"]).exists()
    finished.clear()
    with working(store) as context:
        monkeypatch.setattr(
            forward_pass.Building,
            "finish",
            lambda self, start, stop: (finished.append(start), original(self, start, stop))[1],
        )
        step(context, EXTRACTION)
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "succeeded"
        assert finished == [128, 192, 256]
        resumed = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
        assert resumed.provenance["rows_resumed"] == 128
    other = Store(tmp_path / "other", store.data_root).create()
    register(other, folder)
    with working(other) as context:
        (whole,) = build(context, manifest, recipe)
    assert read_features(store, job).tobytes() == read_features(other, whole).tobytes()


def test_a_damaged_shard_of_an_interrupted_extraction_is_computed_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "many", {"train": {"a": 200}}, side=8)
    manifest = register(store, folder)
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))
    with working(store) as context:
        (job,) = submit(context, manifest, [recipe])
        original = forward_pass.Building.finish

        def stop(self: Any, start: int, end: int) -> None:
            original(self, start, end)
            if start == 64:
                context.stop.set()

        monkeypatch.setattr(forward_pass.Building, "finish", stop)
        step(context, EXTRACTION)
        monkeypatch.undo()
    (path,) = store.building(job.spec["pack_id"]).iterdir()
    with path.open("r+b") as file:
        file.seek(4096 + 64 * 1024 * 10)
        file.write(b"damage")
    with working(store) as context:
        step(context, EXTRACTION)
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "succeeded"
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert row.provenance["rows_resumed"] == 64
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []


def test_what_a_cancelled_extraction_has_done_is_there_for_the_next_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "many", {"train": {"a": 200}}, side=8)
    manifest = register(store, folder)
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))
    with working(store, lease_seconds=0.25) as context:
        (job,) = submit(context, manifest, [recipe])
        jobs = Jobs(context.database)
        original = forward_pass.Building.finish

        def cancel(self: Any, start: int, stop: int) -> None:
            original(self, start, stop)
            if start == 64:
                jobs.cancel(job.id)
                time.sleep(0.3)

        monkeypatch.setattr(forward_pass.Building, "finish", cancel)
        step(context, EXTRACTION)
        monkeypatch.undo()
        assert jobs.get(job.id, EVERYTHING).state == "cancelled"
        assert list((store.root / "packs").iterdir()) == []
        (again,) = build(context, manifest, recipe)
        assert again.id != job.id
        row = context.catalogue.find_pack(again.spec["pack_id"], EVERYTHING)
    assert row.provenance["rows_resumed"] == 128
    assert list((store.root / "building").iterdir()) == []
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []


def test_a_worker_that_lost_its_lease_publishes_nothing(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = register(store, folder)
    with working(store, lease_seconds=30) as context:
        (job,) = submit(context, manifest, [recipe_of()])
        original = extract_module.certificates

        def usurped(*arguments: Any) -> Any:
            with context.database.write() as connection:
                connection.exec_driver_sql("UPDATE jobs SET attempt = attempt + 1")
            return original(*arguments)

        monkeypatch.setattr(extract_module, "certificates", usurped)
        step(context, EXTRACTION)
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "running"
    assert list((store.root / "packs").iterdir()) == []
    assert store.building(job.spec["pack_id"]).exists(), "the new owner goes on with it"


def test_a_worker_that_died_between_rename_and_catalogue_is_made_good(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Leases.finish

    def killed(self: Leases, job: Job, publish: Any) -> None:
        with pytest.raises(ZeroDivisionError):  # the transaction is never committed
            original(self, job, lambda connection: publish(connection) and 1 / 0)
        raise LeaseLost("as good as killed")

    manifest = register(store, folder)
    with working(store, lease_seconds=0.1) as context:
        (job,) = submit(context, manifest, [recipe_of()])
        monkeypatch.setattr(Leases, "finish", killed)
        step(context, EXTRACTION)
        before = read_features(store, job)
        assert not context.catalogue.has_pack(job.spec["pack_id"], EVERYTHING)
        monkeypatch.undo()
        time.sleep(0.2)
    with working(store) as context:
        step(context, EXTRACTION)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert row.provenance["rows_resumed"] == 50
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []
    np.testing.assert_array_equal(read_features(store, job), before)


def test_an_unexpected_error_fails_the_job_and_the_worker_lives(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: Any) -> None:
        raise ZeroDivisionError("boom")

    manifest = register(store, folder)
    with working(store) as context:
        (job,) = submit(context, manifest, [recipe_of()])
        assert loop.step(context, {"extract": explode})
        ended = Jobs(context.database).get(job.id, EVERYTHING)
        assert ended.state == "failed"
        assert ended.error is not None
        assert ended.error["detail"] == "ZeroDivisionError: boom"
        assert not loop.step(context, EXTRACTION)


def test_ids_and_files_agree(store: Store, folder: Path) -> None:
    manifest = register(store, folder)
    with working(store) as context:
        (job,) = build(context, manifest, recipe_of())
    recipe_id = recipe_of().recipe_id
    assert job.spec["pack_id"] == pack_id(recipe_id, manifest.dataset_id)
    with h5py.File(store.pack(job.spec["pack_id"]), "r") as file:
        assert json.loads(file.attrs["dataset"])["dataset_id"] == manifest.dataset_id
        stored = json.loads(file.attrs["recipe"])
        assert type(recipe_of()).from_dict(stored).recipe_id == recipe_id


def test_a_lease_that_ran_out_stops_the_work_before_it_records_anything(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGSTOP and SIGCONT: no heartbeat was possible, and nobody has said so yet."""
    manifest = register(store, folder)
    with working(store, lease_seconds=1.0) as context:
        (job,) = submit(context, manifest, [recipe_of()])
        original = worker_context.make_engine

        def frozen(*arguments: Any) -> Any:
            engine = original(*arguments)
            run = engine.run

            def slow(images_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
                if len(images_NCHW) > 1:
                    monkeypatch.setattr(context.leases, "heartbeat", lambda *_: time.sleep(2))
                    time.sleep(1.5)
                return run(images_NCHW)

            engine.run = slow
            return engine

        monkeypatch.setattr(worker_context, "make_engine", frozen)
        step(context, EXTRACTION)
        assert context.leases.recorded_shards(job.spec["pack_id"]) == []
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "running"
