"""The sweep: what was left goes, what is needed stays, a lost database gets its packs back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import h5py
import pytest
import sqlalchemy as sa

from cache import publish
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import Database
from cache.dataset import ImageLocation, Manifest
from cache.errors import Conflict, CorruptData
from cache.job import Job, NewJob
from cache.jobs import Jobs
from cache.rows import DatasetRow, HeadRow, WeightsRow
from cache.sight import EVERYTHING, UNOWNED
from cache.store import FOLDERS, Store
from cache.tables import jobs as jobs_table
from cache.tables import shards
from cache.upkeep import sweep
from tests.keeping import keep_real_pack
from tests.manifests import plain_manifest
from tests.test_catalogue import pack_row

DAY = 86400.0


@pytest.fixture
def catalogue(database: Database, store: Store) -> Catalogue:
    bind_store(database, store)
    return Catalogue(database)


def submit(catalogue: Catalogue, kind: str, **spec: Any) -> Job:
    return Jobs(catalogue.database).enqueue(
        NewJob(kind, f"{kind}:{len(spec)}:{spec}", spec, UNOWNED)
    )


def end_all(catalogue: Catalogue) -> None:
    with catalogue.database.write() as connection:
        connection.execute(sa.update(jobs_table).values(state="cancelled"))


def add(catalogue: Catalogue, method: str, row: Any) -> None:
    with catalogue.database.write() as connection:
        getattr(catalogue, method)(connection, row)


def files(store: Store) -> list[str]:
    found = (path for name in FOLDERS for path in (store.root / name).rglob("*"))
    return sorted(str(path.relative_to(store.root)) for path in found if path.is_file())


def put(path: Path, age: float = 0.0) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"something")
    os.utime(path, (time.time() - age,) * 2)
    if path.parent.parent.name == "building":
        os.utime(path.parent, (time.time() - age,) * 2)
    return path


def record_shard(catalogue: Catalogue, pack_id: str) -> None:
    with catalogue.database.write() as connection:
        row = {"pack_id": pack_id, "shard": 0, "hash": b"x", "copied": 0}
        connection.execute(sa.insert(shards).values(row))


def recorded(catalogue: Catalogue) -> list[str]:
    with catalogue.database.read() as connection:
        return sorted(connection.execute(sa.select(shards.c.pack_id)).scalars())


def names(catalogue: Catalogue) -> list[str]:
    return sorted(row.pack_id for row in catalogue.packs(EVERYTHING).items)


# Which store


def test_a_database_knows_its_store(database: Database, store: Store, tmp_path: Path) -> None:
    bind_store(database, store)
    bind_store(database, store)
    other = Store(tmp_path / "other").create()
    with pytest.raises(Conflict, match="mounted"):
        bind_store(database, other)
    assert other.identity() is None, "the mount point of a volume that is away stays as it is"
    other.make_identity()
    with pytest.raises(Conflict):
        bind_store(database, other)


def test_a_store_is_named_once(store: Store) -> None:
    assert store.identity() is None
    assert store.make_identity() == store.make_identity() == store.identity()
    assert [path.name for path in store.root.iterdir() if path.is_file()] == ["store.id"]


def test_nothing_is_swept_where_the_volume_went_away(catalogue: Catalogue, store: Store) -> None:
    keep_real_pack(catalogue, store)
    store.root.rename(store.root.with_name("elsewhere"))
    store.root.mkdir()
    with pytest.raises(Conflict):
        sweep(catalogue, store, 0)
    store.create()
    with pytest.raises(Conflict):
        sweep(catalogue, store, 0)
    assert len(catalogue.packs(EVERYTHING).items) == 1


# Unfinished work


def test_unfinished_packs_go_when_no_job_is_theirs(catalogue: Catalogue, store: Store) -> None:
    submit(catalogue, "extract", pack_id="mine")
    for name in ("mine", "old", "young"):
        put(store.building(name) / "pack.h5", DAY if name == "old" else 10)
        record_shard(catalogue, name)
    put(store.root / "building" / "stray.h5", DAY)
    record_shard(catalogue, "nowhere")
    swept = sweep(catalogue, store, 3600)
    assert swept.removed == ["building/old", "building/stray.h5"]
    assert swept.forgotten == ["shards/nowhere", "shards/old"]
    assert files(store) == ["building/mine/pack.h5", "building/young/pack.h5"]
    assert sweep(catalogue, store, 0).removed == ["building/young"]
    assert recorded(catalogue) == ["mine"]
    end_all(catalogue)
    assert sweep(catalogue, store, 0).removed == ["building/mine"]
    assert recorded(catalogue) == []
    assert not sweep(catalogue, store, 0)


def test_a_folder_is_as_old_as_its_newest_file(catalogue: Catalogue, store: Store) -> None:
    put(store.building("x") / "a.h5", DAY)
    put(store.building("x") / "b.h5", 5)
    os.utime(store.building("x"), (time.time() - DAY,) * 2)
    assert not sweep(catalogue, store, 3600)


def test_an_import_keeps_what_it_may_be_building(catalogue: Catalogue, store: Store) -> None:
    put(store.building("late") / "j.h5", DAY)
    put(store.pack("renamed"), DAY)
    submit(catalogue, "import", uploads=[])
    assert not sweep(catalogue, store, 0)
    end_all(catalogue)
    assert sweep(catalogue, store, 0).removed == ["building/late", "packs/renamed.h5"]


def test_uploads_and_hidden_files(catalogue: Catalogue, store: Store) -> None:
    mine = put(store.root / "incoming" / "aa.pth", DAY)
    put(store.root / "incoming" / "bb", DAY)
    put(store.root / "incoming" / "cc", 5)
    for name in ("packs", "datasets", "heads", "downloads", "quarantine"):
        put(store.root / name / ".x.h5.12345678.part", DAY)
        put(store.root / name / ".x.h5.12345678.gone", DAY)
    put(store.root / "heads" / ".young.part", 5)
    submit(catalogue, "weights", uploads=[{"path": str(mine.with_suffix("")), "name": "w.pth"}])
    assert len(sweep(catalogue, store, 3600).removed) == 11
    assert files(store) == ["heads/.young.part", "incoming/aa.pth", "incoming/cc"]
    sweep(catalogue, store, 0)
    assert files(store) == ["incoming/aa.pth"]


def test_what_is_being_written_stays_even_if_nothing_is_kept(
    catalogue: Catalogue, store: Store
) -> None:
    """An upload and a manifest whose jobs are not there yet, under their writers' locks."""
    from cache.atomic import replacing
    from service.uploads import saved

    with saved(store, []), replacing(store.manifest("d")) as beside:
        put(store.root / "incoming" / "now")
        put(beside)
        assert not sweep(catalogue, store, 0)
        put(store.root / "incoming" / "crashed", DAY)
        assert sweep(catalogue, store, 0).removed == ["incoming/crashed"]
    assert store.manifest("d").exists()


# Files without rows, rows without files


def test_heads_and_checkpoints(catalogue: Catalogue, store: Store) -> None:
    for head_id in ("kept", "lost"):
        add(catalogue, "add_head", HeadRow(head_id, "p", "lab", {}, {}))
    for sha256 in ("aa", "bb"):
        add(catalogue, "add_weights", WeightsRow(sha256, "vgg16", "w", 1, {}))
    for path in (store.head("kept"), store.head("orphan"), store.head("training")):
        put(path, DAY)
    put(store.weights("aa", ".pth"), DAY)
    put(store.weights("cc", ".safetensors"), DAY)
    submit(catalogue, "head", pack_id="p", head_id="training")
    swept = sweep(catalogue, store, 3600)
    assert swept.removed == ["heads/orphan.npz", "weights/cc.safetensors"]
    assert swept.forgotten == ["heads/lost", "weights/bb"]
    assert catalogue.find_head("kept", EVERYTHING)
    put(store.weights("dd", ".pth"), DAY)
    submit(catalogue, "weights", uploads=[])
    assert not sweep(catalogue, store, 0), "its row may come when the job ends"


def manifest_in(store: Store, seed: int, blob: str) -> Manifest:
    plain = plain_manifest(5, seed=seed)
    manifest = Manifest(
        **{
            name: getattr(plain, name)
            for name in ("classes", "splits", "row_id_N", "label_N", "hash_NH")
        },
        location=ImageLocation("blob", blob),
        start_N=plain.start_N,
        size_N=plain.size_N,
    )
    store.save_manifest(manifest)
    return manifest


def dataset_row(name: str, dataset_id: str) -> DatasetRow:
    return DatasetRow(name, 0, dataset_id, {}, [], {}, 5, 1)


def test_manifests_and_the_blobs_that_they_lie_in(catalogue: Catalogue, store: Store) -> None:
    base, view, extracted, unused = (manifest_in(store, n, "base.images") for n in range(4))
    put(store.blob("base"), DAY)
    put(store.blob("other"), DAY)
    add(catalogue, "add_dataset", dataset_row("set", base.dataset_id))
    add(catalogue, "add_dataset", dataset_row("lost", "gone"))
    add(catalogue, "add_pack", pack_row("p", dataset_id=view.dataset_id))
    put(store.pack("p"))
    submit(catalogue, "extract", pack_id="q", dataset_id=extracted.dataset_id)
    swept = sweep(catalogue, store, 0)
    assert swept.removed == sorted([f"datasets/{unused.dataset_id}.h5", "datasets/other.images"])
    assert swept.forgotten == ["datasets/gone"]
    catalogue.delete_dataset("", "set")
    store.manifest(base.dataset_id).unlink()
    assert not sweep(catalogue, store, 0), "two manifests still lie in the blob"
    end_all(catalogue)
    publish.delete_pack(catalogue, store, "p")
    assert len(sweep(catalogue, store, 0).removed) == 3
    assert files(store) == []


def test_an_ingest_keeps_datasets(catalogue: Catalogue, store: Store) -> None:
    put(store.blob("new"), DAY)
    put(store.root / "datasets" / ".ingest.12.part", DAY)
    submit(catalogue, "ingest", uploads=[])
    assert not sweep(catalogue, store, 0)


def test_rows_without_a_file(catalogue: Catalogue, store: Store) -> None:
    add(catalogue, "add_pack", pack_row("gone"))
    add(catalogue, "add_pack", pack_row("building"))
    add(catalogue, "add_head", HeadRow("h", "gone", "lab", {}, {}))
    put(store.head("h"))
    submit(catalogue, "extract", pack_id="building")
    assert sweep(catalogue, store, DAY).forgotten == ["packs/gone"]
    assert names(catalogue) == ["building"]
    assert catalogue.find_head("h", EVERYTHING)


def test_very_many_leftovers(catalogue: Catalogue, store: Store) -> None:
    with catalogue.database.write() as connection:
        for number in range(1200):
            put(store.head(f"h{number}"), DAY)
            catalogue.add_head(connection, HeadRow(f"r{number}", "p", "lab", {}, {}))
    statements: list[str] = []
    sa.event.listen(
        catalogue.database.engine, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    swept = sweep(catalogue, store, 0)
    assert (len(swept.removed), len(swept.forgotten)) == (1200, 1200)
    assert len(statements) < 60


# Quarantine


def test_quarantined_packs_go_in_time(catalogue: Catalogue, store: Store) -> None:
    for pack_id in ("a", "b", "c"):
        add(catalogue, "add_pack", pack_row(pack_id))
        put(store.pack(pack_id), 30 * DAY)
        publish.quarantine(catalogue, store, pack_id, CorruptData("damage"))
    assert not sweep(catalogue, store, 3600), "its age is the time since it was found damaged"
    store.quarantined("b").unlink()
    os.utime(store.quarantined("c"), (0, 0))
    submit(catalogue, "extract", pack_id="c")
    swept = sweep(catalogue, store, 3600)
    assert (swept.removed, swept.forgotten) == (["quarantine/c.h5"], ["packs/b"])
    assert names(catalogue) == ["a", "c"], "the job of c keeps its hits and its pin"
    os.utime(store.quarantined("a"), (0, 0))
    add(catalogue, "add_pack", pack_row("a"))
    put(store.pack("a"))
    assert sweep(catalogue, store, 3600).removed == ["quarantine/a.h5"]
    assert catalogue.find_sound_pack("a", EVERYTHING), "it was built again meanwhile"


# A lost database


@pytest.fixture
def fresh(database: Database, store: Store, tmp_path: Path) -> Catalogue:
    """A database that knows nothing, over a store whose first database is lost."""
    first = Database(f"sqlite:///{tmp_path / 'first.db'}")
    first.migrate()
    bind_store(first, store)
    keep_real_pack(Catalogue(first), store)
    first.close()
    bind_store(database, store)
    return Catalogue(database)


def test_a_lost_database_gets_its_packs_back(
    fresh: Catalogue, store: Store, tmp_path: Path
) -> None:
    swept = sweep(fresh, store, 0)
    (row,) = fresh.packs(EVERYTHING).items
    assert (swept.recovered, swept.removed) == ([row.pack_id], [])
    first = Database(f"sqlite:///{tmp_path / 'first.db'}")
    (before,) = Catalogue(first).packs(EVERYTHING).items
    first.close()
    times = {"created": 0.0, "last_used": 0.0}
    assert vars(row) | times == vars(before) | times
    assert not sweep(fresh, store, 0)


def test_a_lost_database_can_be_restored_for_a_while(fresh: Catalogue, store: Store) -> None:
    """Nobody knows any more what these were for, but it is not their age that tells."""
    put(store.weights("aa", ".pth"), 30 * DAY)
    put(store.blob("images"), 30 * DAY)
    assert sweep(fresh, store, DAY).removed == []
    os.utime(store.identity_file, (time.time() - 2 * DAY,) * 2)
    assert sweep(fresh, store, DAY).removed == ["datasets/images.images", "weights/aa.pth"]


@pytest.mark.parametrize("damage", ["features", "labels", "name", "cut", "no pack"])
def test_a_damaged_pack_without_a_row_does_not_come_back(
    fresh: Catalogue, store: Store, damage: str
) -> None:
    (path,) = (store.root / "packs").iterdir()
    path.chmod(0o644)
    if damage == "features":
        with h5py.File(path, "r+") as file:
            file["features"][3, 2] += 1
    elif damage == "labels":
        with h5py.File(path, "r+") as file:
            file["labels"][0] = (file["labels"][0] + 1) % 3
    elif damage == "name":
        path = path.rename(path.with_name(f"{'0' * 12}-{path.stem[13:]}.h5"))
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-5000])
    else:
        path.write_bytes(b"no pack")
    assert not sweep(fresh, store, 3600)
    assert path.exists()
    assert sweep(fresh, store, 0).removed == [f"packs/{path.name}"]
    assert fresh.packs(EVERYTHING).items == []


def test_a_pack_that_a_job_may_take_up_is_left_to_it(fresh: Catalogue, store: Store) -> None:
    (path,) = (store.root / "packs").iterdir()
    submit(fresh, "extract", pack_id=path.stem)
    assert not sweep(fresh, store, 0)
    end_all(fresh)
    assert sweep(fresh, store, 0).recovered == [path.stem]


def test_a_search_for_lost_packs_can_be_stopped(fresh: Catalogue, store: Store) -> None:
    assert not sweep(fresh, store, 0, lambda: True)
    assert len(files(store)) == 1


# Crashes and live work


class Crash(BaseException):
    pass


@pytest.mark.parametrize("point", ["hide_pack", "forget_pack", "commit", "unlink"])
def test_a_delete_that_crashes_leaves_only_what_a_sweep_clears(
    catalogue: Catalogue, store: Store, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    add(catalogue, "add_head", HeadRow("h", pack_id, "lab", {}, {}))
    put(store.head("h"))

    def crash(*_: Any, **__: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        if point == "hide_pack":
            patched.setattr(Store, "hide_pack", crash)
        elif point == "forget_pack":
            patched.setattr(Catalogue, "forget_pack", crash)
        elif point == "commit":
            hide = Store.hide_pack
            patched.setattr(Store, "hide_pack", lambda *args: (hide(*args), crash()))
        else:
            patched.setattr(Path, "unlink", crash)
        with pytest.raises(Crash):
            publish.delete_pack(catalogue, store, pack_id)
    sweep(catalogue, store, 0)
    if point in ("hide_pack", "forget_pack"):
        assert names(catalogue) == [pack_id], "nothing had happened yet"
        assert len(files(store)) == 2
    elif point == "commit":
        assert names(catalogue) == []
        assert files(store) == ["heads/h.npz"]
    else:
        assert (names(catalogue), files(store)) == ([], [])
    assert not sweep(catalogue, store, 0), "it never comes back"


def test_a_sweep_that_crashes_is_finished_by_the_next(
    catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store.building("x") / "pack.h5")
    record_shard(catalogue, "x")

    def crash(*_: Any) -> None:
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr("cache.upkeep._delete", crash)
        with pytest.raises(Crash):
            sweep(catalogue, store, 0)
    assert recorded(catalogue) == []
    sweep(catalogue, store, 0)
    assert list((store.root / "building").iterdir()) == []


def test_a_job_that_comes_between_the_looks_keeps_its_files(
    catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache import upkeep

    put(store.building("x") / "pack.h5", DAY)
    put(store.building("y") / "pack.h5", DAY)
    looked = upkeep._recover

    def submits(*args: Any) -> Any:
        submit(catalogue, "extract", pack_id="x")
        return looked(*args)

    monkeypatch.setattr(upkeep, "_recover", submits)
    assert sweep(catalogue, store, 0).removed == ["building/y"]


def test_two_sweeps_at_once(catalogue: Catalogue, store: Store) -> None:
    from concurrent.futures import ThreadPoolExecutor

    for number in range(50):
        put(store.head(f"h{number}"), DAY)
        put(store.building(f"b{number}") / "pack.h5", DAY)
    with ThreadPoolExecutor(4) as pool:
        swept = list(pool.map(lambda _: sweep(catalogue, store, 0), range(4)))
    found = [path for one in swept for path in one.removed]
    removed = [path for path in found if "/." not in path]  # one may help another to delete
    assert sorted(set(removed)) == sorted(removed)
    assert len(removed) == 100
    assert list((store.root / "building").iterdir()) == []
