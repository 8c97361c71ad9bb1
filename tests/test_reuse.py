"""Rows that another pack has, or that repeat, are copied; nothing is computed twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cache.dataset import ImageLocation, Manifest, View
from cache.job import Job
from cache.pack import create, open_pack, seal
from cache.pack_writer import PackWriter
from cache.recipe import Tap
from cache.reuse import find_known, first_rows
from cache.row_index import index_of, keys_of, open_index
from cache.sight import EVERYTHING
from cache.store import Store
from tests.pictures import write_image_folder
from tests.working import build, count_images, recipe_of, register, submit, working
from worker import forward_pass
from worker.loop import step
from worker.tasks import EXTRACTION

ARRAYS = ("features", "labels", "row_hash", "row_id", "valid", "shard_hash", "index_hash")


def manifest_of(hash_NH: np.ndarray) -> Manifest:
    rows = len(hash_NH)
    return Manifest(
        classes=("a",),
        splits={"train": (0, rows)},
        row_id_N=[str(row) for row in range(rows)],
        label_N=np.zeros(rows, np.int64),
        hash_NH=hash_NH,
        location=ImageLocation("folder", "x"),
        start_N=np.zeros(rows, np.int64),
        size_N=np.zeros(rows, np.int64),
    )


def keep(store: Store, pack_id: str, hash_NH: np.ndarray, invalid: tuple[int, ...] = ()) -> None:
    path = store.building(pack_id) / "x.h5"
    path.parent.mkdir()
    create(path, manifest_of(hash_NH), recipe={}, dataset={}, row_shape=(2,), dtype="float32")
    valid_N = np.ones(len(hash_NH), bool)
    valid_N[list(invalid)] = False
    with PackWriter(path) as writer:
        writer.write(np.arange(len(hash_NH)), np.ones((len(hash_NH), 2)), valid_N)
        hashes = [writer.hash_shard(shard) for shard in range(writer.layout.shards)]
    seal(path, hashes, {})
    store.publish_pack(pack_id, path)


def random_hashes(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 16), np.uint8)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    return count_images(monkeypatch)


@contextmanager
def elsewhere(store: Store, tmp_path: Path) -> Iterator[Any]:
    """A worker over an empty store, beside the one under test."""
    other = Store(tmp_path / "other", store.data_root).create()
    with working(other) as context:
        yield context


def assert_same(a: Path, b: Path) -> None:
    with h5py.File(a) as one, h5py.File(b) as two:
        for name in ARRAYS:
            assert one[name][...].tolist() == two[name][...].tolist(), name
        for name in ("recipe", "classes", "splits", "shard_rows"):
            assert one.attrs[name] == two.attrs[name], name


def result(job: Job) -> tuple[int, int]:
    assert job.result is not None, job.error
    return job.result["rows_copied"], job.result["rows_computed"]


def grow(folder: Path, count: int) -> None:
    """New images whose names lie between those of the old ones."""
    rng = np.random.default_rng(99)
    from tests.pictures import png

    for number in range(count):
        place = folder / "train" / ("a" if number % 2 else "b")
        (place / f"{number * 3:03d}x.png").write_bytes(png(rng, 16, number))


def test_the_first_row_of_each_image_is_found() -> None:
    hash_NH = random_hashes(6)
    hash_NH[3] = hash_NH[5] = hash_NH[1]
    hash_NH[4] = hash_NH[0]
    assert first_rows(hash_NH).tolist() == [0, 1, 2, 1, 0, 1]
    assert first_rows(hash_NH[:0]).tolist() == []


def test_rows_with_equal_keys_but_other_hashes_are_not_mistaken() -> None:
    hash_NH = random_hashes(3)
    hash_NH[2, :8] = hash_NH[0, :8]
    assert first_rows(hash_NH).tolist() == [0, 1, 2]


def test_plain_h5py_finds_the_index(store: Store) -> None:
    hash_NH = random_hashes(1000)
    keep(store, "p", hash_NH)
    with h5py.File(store.pack("p")) as file:
        keys, rows = file["index_hash"][:], file["index_row"][:]
        assert file["index_hash"].chunks is None
    assert (np.diff(keys.astype(object)) >= 0).all()
    expected = [int.from_bytes(hash_NH[row, :8].tobytes(), "big") for row in rows]
    assert keys.tolist() == expected
    assert sorted(rows) == list(range(1000))


def test_the_index_finds_what_is_there_and_nothing_else(store: Store) -> None:
    hash_NH, strangers_MH = random_hashes(1000), random_hashes(500, seed=1)
    strangers_MH[7, :8] = hash_NH[3, :8]  # the same key, another image
    keep(store, "p", hash_NH)
    index = open_index(store.pack("p"))
    assert index is not None
    wanted_MH = np.concatenate([strangers_MH, hash_NH[::-1]])
    order = np.argsort(keys_of(wanted_MH), kind="stable")
    found_M = np.empty(len(order), np.int64)
    found_M[order] = index.find(keys_of(wanted_MH)[order], wanted_MH[order])
    assert (found_M[:500] == -1).all()
    assert found_M[500:].tolist() == list(range(999, -1, -1))


def test_a_row_is_taken_from_the_first_pack_that_has_it(store: Store) -> None:
    hash_NH = random_hashes(100)
    keep(store, "one", hash_NH[:60][::-1], invalid=(0,))
    keep(store, "two", hash_NH[40:80])
    wanted = manifest_of(np.concatenate([hash_NH, hash_NH[:5]]))
    packs = ["gone", "one", "two"]
    known = find_known(store, wanted, packs, invalid_too=True)
    assert [(s.pack_id, len(s.here_R)) for s in known.sources] == [("one", 60), ("two", 20)]
    one, two = known.sources
    assert one.there_R.tolist() == list(range(60))
    assert one.here_R.tolist() == list(range(59, -1, -1))
    assert sorted(two.here_R.tolist()) == list(range(60, 80))
    nothing_N = np.zeros(105, bool)
    assert np.flatnonzero(known.to_compute_N(nothing_N)).tolist() == list(range(80, 100))
    strict = find_known(store, wanted, packs, invalid_too=False)
    assert [(s.pack_id, len(s.here_R)) for s in strict.sources] == [("one", 59), ("two", 21)]


def test_an_empty_pack_and_an_unsealed_one_have_no_rows(store: Store) -> None:
    keys, rows = index_of(random_hashes(0))
    assert (len(keys), len(rows)) == (0, 0)
    path = store.pack("half")
    create(
        path, manifest_of(random_hashes(5)), recipe={}, dataset={}, row_shape=(2,), dtype="float32"
    )
    assert open_index(path) is None
    assert open_index(store.pack("gone")) is None


def test_a_dataset_that_grew_costs_what_it_grew(
    store: Store, tmp_path: Path, computed: list[int]
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 60, "b": 60}}, side=16)
    recipe = recipe_of()
    with working(store) as context:
        (before,) = build(context, register(store, folder), recipe)
        grow(folder, 12)
        computed.clear()
        manifest = register(store, folder)
        (after,) = build(context, manifest, recipe)
        row = context.catalogue.find_pack(after.spec["pack_id"], EVERYTHING)
    assert result(before) == (0, 120)
    assert result(after) == (120, 12)
    assert sum(computed) == 12
    assert computed == [12], "in one batch, however the new images lie among the old"
    assert row.provenance["copied_from"] == {before.spec["pack_id"]: 120}
    certificate = row.provenance["certificate"]
    assert len(certificate["rows"]) == 12
    assert certificate["copied_from"] == [before.spec["pack_id"]]
    with elsewhere(store, tmp_path) as other:
        (whole,) = build(other, manifest, recipe)
        assert_same(store.pack(row.pack_id), other.store.pack(whole.spec["pack_id"]))


def test_a_view_of_a_cached_set_costs_nothing(store: Store, computed: list[int]) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 40, "b": 40}}, side=16)
    manifest = register(store, folder)
    with working(store) as context:
        (whole,) = build(context, manifest, recipe_of())
        computed.clear()
        (job,) = build(context, View(per_class=10).apply(manifest), recipe_of())
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
        source = context.catalogue.find_pack(whole.spec["pack_id"], EVERYTHING)
    assert result(job) == (20, 0)
    assert computed == []
    assert row.provenance["engine"] is None
    inherited, own = row.provenance["certificate"], source.provenance["certificate"]
    assert inherited["largest_error"] == own["largest_error"]
    assert inherited["rows"] == []
    assert open_pack(store.pack(row.pack_id)).failed_shards() == []


def test_identical_images_are_computed_once(
    store: Store, tmp_path: Path, computed: list[int]
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 200}}, side=8)
    paths = sorted(folder.rglob("*.png"))
    for path in paths[150:]:  # over several shards of 64 rows
        path.write_bytes(paths[int(path.stem) % 7].read_bytes())
    paths[10].write_bytes(b"broken")
    paths[199].write_bytes(b"broken")
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))
    with working(store) as context:
        (job,) = build(context, register(store, folder), recipe)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert result(job) == (50, 150)
    assert sum(computed) == 150
    assert row.invalid_rows == ["train/a/010.png", "train/a/199.png"]
    pack = open_pack(store.pack(row.pack_id))
    for row_number in range(150, 199):
        first = int(pack.row_id_N[row_number][-7:-4]) % 7
        assert (pack.features[row_number] == pack.features[first]).all()
        assert pack.features[row_number].any()
    assert pack.failed_shards() == []


def test_other_recipes_share_nothing(store: Store, computed: list[int]) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 20}}, side=16)
    manifest = register(store, folder)
    with working(store) as context:
        build(context, manifest, recipe_of())
        computed.clear()
        (job,) = build(context, manifest, recipe_of(weights="random:1"))
    assert result(job) == (0, 20)
    assert sum(computed) == 20


def test_taps_of_one_pass_copy_what_each_has(
    store: Store, tmp_path: Path, computed: list[int]
) -> None:
    """One tap is cached for the old images, the other is not."""
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 30, "b": 30}}, side=16)
    first, second = recipe_of(), recipe_of(tap=Tap("layer2.1.relu_1", "avg"))
    with working(store) as context:
        build(context, register(store, folder), first)
        grow(folder, 6)
        computed.clear()
        manifest = register(store, folder)
        one, two = build(context, manifest, first, second)
    assert (result(one), result(two)) == ((60, 6), (0, 66))
    assert sum(computed) == 66
    with elsewhere(store, tmp_path) as other:
        for job in build(other, manifest, first, second):
            pack_id = job.spec["pack_id"]
            assert_same(store.pack(pack_id), other.store.pack(pack_id))


def test_a_broken_image_of_another_pack_is_looked_at_again_if_it_must_not_be(
    store: Store,
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 20}}, side=16)
    (folder / "train/a/004.png").write_bytes(b"broken")
    manifest = register(store, folder)
    with working(store) as context:
        build(context, manifest, recipe_of())
        view = View(limit=19, seed=3).apply(manifest)
        assert "train/a/004.png" in view.row_id_N
        (strict,) = build(context, view, recipe_of(), on_error="fail")
        (masked,) = build(context, view, recipe_of())
    assert strict.state == "failed"
    assert strict.error is not None
    assert strict.error["value"] == "train/a/004.png"
    assert result(masked) == (19, 0)
    assert masked.result is not None
    assert masked.result["rows_invalid"] == 1


def test_damaged_rows_are_computed_and_their_pack_is_set_aside(
    store: Store, tmp_path: Path
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 200}}, side=8)
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))
    manifest = register(store, folder)
    with working(store) as context:
        (whole,) = build(context, manifest, recipe)
        damaged = store.pack(whole.spec["pack_id"])
        damaged.chmod(0o644)
        with h5py.File(damaged, "r+") as file:
            file["features"][70, 3] += 1
        view = View(limit=199).apply(manifest)
        (job,) = build(context, view, recipe)
        assert context.catalogue.find_pack(whole.spec["pack_id"], EVERYTHING).problem is not None
        missing = set(manifest.row_id_N) - set(view.row_id_N)
        in_shard = 64 - sum(64 <= manifest.row_id_N.index(name) < 128 for name in missing)
        assert result(job) == (199 - in_shard, in_shard)
    with elsewhere(store, tmp_path) as other:
        build(other, view, recipe)
        pack_id = job.spec["pack_id"]
        assert_same(store.pack(pack_id), other.store.pack(pack_id))


def test_a_mark_that_was_damaged_is_not_handed_on(store: Store, tmp_path: Path) -> None:
    """What says whether an image could be decoded is hashed as the features are."""
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 60}}, side=16)
    (folder / "train/a/004.png").write_bytes(b"broken")
    manifest = register(store, folder)
    with working(store) as context:
        (whole,) = build(context, manifest, recipe_of())
        damaged = store.pack(whole.spec["pack_id"])
        damaged.chmod(0o644)
        with h5py.File(damaged, "r+") as file:
            file["valid"][4], file["valid"][7] = 1, 0
        view = View(limit=59).apply(manifest)
        (job,) = build(context, view, recipe_of())
        assert context.catalogue.find_pack(whole.spec["pack_id"], EVERYTHING).problem is not None
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert result(job) == (0, 59)
    assert row.invalid_rows == ["train/a/004.png"]


def test_sources_are_named_after_a_resumption(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.data_root is not None
    folder = write_image_folder(store.data_root / "set", {"train": {"a": 200}}, side=8)
    recipe = recipe_of(tap=Tap("layer1.1.relu_1"))
    original = forward_pass.Building.finish
    with working(store) as context:
        (first,) = build(context, register(store, folder), recipe)
        for number in range(20):
            (folder / f"train/a/z{number:02d}.png").write_bytes(
                (folder / f"train/a/{number:03d}.png").read_bytes() + b" "
            )
        manifest = register(store, folder)
        (job,) = submit(context, manifest, [recipe])

        def stop(self: Any, start: int, end: int) -> None:
            original(self, start, end)
            if start == 64:
                context.stop.set()

        monkeypatch.setattr(forward_pass.Building, "finish", stop)
        step(context, EXTRACTION)
        monkeypatch.undo()
    with working(store) as context:
        assert step(context, EXTRACTION)
        row = context.catalogue.find_pack(job.spec["pack_id"], EVERYTHING)
    assert row.provenance["rows_resumed"] == 128
    assert row.provenance["copied_from"] == {first.spec["pack_id"]: 200}
    assert row.provenance["certificate"]["copied_from"] == [first.spec["pack_id"]]
