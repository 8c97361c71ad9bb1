"""Room for packs: who goes, who stays, and that readers are never cut short."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cache import publish
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Conflict, CorruptData, NotFound, TooLarge, Unavailable
from cache.eviction import IN_USE_SECONDS, evict, evict_beyond, make_room
from cache.job import NewJob
from cache.jobs import Jobs
from cache.locks import unused
from cache.pack import open_pack
from cache.rows import HeadRow
from cache.sight import EVERYTHING, UNOWNED
from cache.store import Store
from cache.tables import packs
from cache.upkeep import sweep
from service.shelf import PackShelf
from tests.keeping import keep_real_pack
from tests.test_catalogue import pack_row


@pytest.fixture
def catalogue(database: Database, store: Store) -> Catalogue:
    bind_store(database, store)
    return Catalogue(database)


def add_pack(catalogue: Catalogue, store: Store, pack_id: str, idle: float) -> None:
    """A pack of 100 bytes that was last used ``idle`` seconds ago."""
    store.pack(pack_id).write_bytes(b"x" * 100)
    with catalogue.database.write() as connection:
        catalogue.add_pack(connection, pack_row(pack_id, bytes=100))
    make_idle(catalogue, pack_id, idle)


def make_idle(catalogue: Catalogue, pack_id: str, idle: float = 1000.0) -> None:
    with catalogue.database.write() as connection:
        make_idle_in(connection, catalogue, pack_id, idle)


def make_idle_in(
    connection: sa.Connection, catalogue: Catalogue, pack_id: str, idle: float
) -> None:
    ago = {"last_used": catalogue.database.now - idle}
    connection.execute(sa.update(packs).where(packs.c.pack_id == pack_id).values(ago))


def names(catalogue: Catalogue, store: Store) -> list[str]:
    """The packs that there are; rows and files must agree."""
    rows = sorted(row.pack_id for row in catalogue.packs(EVERYTHING).items)
    assert rows == sorted(path.stem for path in (store.root / "packs").iterdir())
    return rows


def test_the_least_recently_used_go_first(catalogue: Catalogue, store: Store) -> None:
    for pack_id, idle in (("b", 300), ("a", 200), ("c", 400), ("d", 100)):
        add_pack(catalogue, store, pack_id, idle)
    assert make_room(catalogue, store, "new", 100, None) == []
    assert make_room(catalogue, store, "new", 100, 500) == []
    assert make_room(catalogue, store, "new", 150, 400) == ["c", "b"]
    assert names(catalogue, store) == ["a", "d"]
    catalogue.touch_pack("a")
    assert evict_beyond(catalogue, store, 100) == ["d"]
    assert evict_beyond(catalogue, store, 0) == [], "it is in use"
    assert evict_beyond(catalogue, store, None) == []


def test_unfinished_packs_take_room_but_not_their_own(catalogue: Catalogue, store: Store) -> None:
    add_pack(catalogue, store, "old", 300)
    for pack_id in ("new", "other"):
        store.building(pack_id).mkdir()
        (store.building(pack_id) / "pack.h5").write_bytes(b"x" * 50)
    assert make_room(catalogue, store, "new", 50, 200) == []
    assert make_room(catalogue, store, "third", 50, 200) == ["old"]


def test_a_pack_that_can_never_fit(catalogue: Catalogue, store: Store) -> None:
    add_pack(catalogue, store, "old", 300)
    with pytest.raises(TooLarge, match="501 bytes") as refused:
        make_room(catalogue, store, "new", 501, 500)
    assert "FEATUREPACK_MAX_PACK_BYTES" in refused.value.remedy
    assert names(catalogue, store) == ["old"]


def test_what_is_pinned_or_needed_stays(catalogue: Catalogue, store: Store) -> None:
    for pack_id in ("pinned", "extracted", "trained on", "predicting", "free"):
        add_pack(catalogue, store, pack_id, 500)
    add_pack(catalogue, store, "just used", IN_USE_SECONDS - 5)
    catalogue.pin_pack("pinned", True)
    with catalogue.database.write() as connection:
        catalogue.add_head(connection, HeadRow("h", "predicting", "lab", {}, {}))
    for kind, spec in (
        ("extract", {"pack_id": "extracted"}),
        ("head", {"pack_id": "trained on", "head_id": "new"}),
        ("predict", {"head_id": "h", "uploads": []}),
    ):
        Jobs(catalogue.database).enqueue(NewJob(kind, kind, spec, UNOWNED))
    with pytest.raises(Unavailable, match="is pinned or in use"):
        make_room(catalogue, store, "new", 300, 600)
    assert len(names(catalogue, store)) == 6, "nothing goes in vain"
    assert make_room(catalogue, store, "new", 100, 600) == ["free"]
    assert not any(evict(catalogue, store, pack_id) for pack_id in names(catalogue, store))
    catalogue.pin_pack("pinned", False)
    assert evict_beyond(catalogue, store, 0) == ["pinned"]


def test_heads_outlive_an_evicted_pack(catalogue: Catalogue, store: Store) -> None:
    add_pack(catalogue, store, "p", 500)
    with catalogue.database.write() as connection:
        catalogue.add_head(connection, HeadRow("h", "p", "lab", {}, {}))
    store.head("h").write_bytes(b"x")
    assert evict(catalogue, store, "p")
    assert not sweep(catalogue, store, 0)
    assert catalogue.find_head("h", EVERYTHING)
    assert store.head("h").exists()


def test_a_use_during_the_eviction_saves_the_pack(
    catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_pack(catalogue, store, "p", 500)
    from cache import eviction

    look = eviction.active_work

    def used_now(connection: sa.Connection) -> Any:
        make_idle_in(connection, catalogue, "p", 0)
        return look(connection)

    monkeypatch.setattr(eviction, "active_work", used_now)
    assert not evict(catalogue, store, "p")
    assert names(catalogue, store) == ["p"]


READER = """
import fcntl, sys, h5py
how, path = sys.argv[1:]
if how == "h5py":
    held = h5py.File(path, "r")
else:
    held = open(path, "rb")
    fcntl.flock(held, fcntl.LOCK_SH)
print("open", flush=True)
sys.stdin.read()
if how == "h5py":
    assert held["features"][:].any()
"""


@contextmanager
def reader(how: str, path: str) -> Iterator[None]:
    """Another process that has the file open until the block ends."""
    command = [sys.executable, "-c", READER, how, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        yield
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.mark.parametrize("how", ["h5py", "flock"])
def test_another_process_that_reads_keeps_the_pack(
    catalogue: Catalogue, store: Store, how: str
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    make_idle(catalogue, pack_id)
    with reader(how, str(store.pack(pack_id))):
        assert evict_beyond(catalogue, store, 0) == []
        with pytest.raises(Unavailable, match="in use"):
            make_room(catalogue, store, "new", 1, 1)
    assert evict_beyond(catalogue, store, 0) == [pack_id]


def test_the_moment_of_the_exclusive_lock_breaks_no_open(
    catalogue: Catalogue, store: Store
) -> None:
    pack_id, features_ND = keep_real_pack(catalogue, store)
    with unused(store.pack(pack_id)) as free:
        assert free
        np.testing.assert_array_equal(open_pack(store.pack(pack_id)).features, features_ND)


def test_an_open_pack_can_be_read_to_its_end(catalogue: Catalogue, store: Store) -> None:
    pack_id, features_ND = keep_real_pack(catalogue, store)
    shelf = PackShelf(catalogue, store)
    _, pack = shelf.take(pack_id, EVERYTHING)
    assert not evict(catalogue, store, pack_id), "taken just now"
    make_idle(catalogue, pack_id)
    assert evict(catalogue, store, pack_id)
    np.testing.assert_array_equal(pack.features, features_ND)
    with pytest.raises(NotFound):
        shelf.take(pack_id, EVERYTHING)


def test_reading_notices_a_file_that_went_away(catalogue: Catalogue, store: Store) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    with store.reading(pack_id):
        with unused(store.pack(pack_id)) as free:
            assert not free
        publish.delete_pack(catalogue, store, pack_id)
    with pytest.raises(FileNotFoundError), store.reading(pack_id):
        pass


def mapped(path: Path) -> bool:
    return str(path) in Path("/proc/self/maps").read_text()


def test_the_shelf_closes_packs_that_nobody_wants(catalogue: Catalogue, store: Store) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    shelf = PackShelf(catalogue, store)
    shelf.take(pack_id, EVERYTHING)
    shelf.close_idle()
    assert mapped(store.pack(pack_id))
    shelf.close_idle(0)
    assert not mapped(store.pack(pack_id))


# Quarantine


def test_a_damaged_pack_is_listed_and_never_served(catalogue: Catalogue, store: Store) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    catalogue.pin_pack(pack_id, True)
    shelf = PackShelf(catalogue, store)
    shelf.take(pack_id, EVERYTHING)
    publish.quarantine(catalogue, store, pack_id, CorruptData("a bad disk"))
    with pytest.raises(Conflict, match="a bad disk") as refused:
        shelf.take(pack_id, EVERYTHING)
    assert "submit the pair again" in refused.value.remedy
    row = catalogue.find_pack(pack_id, EVERYTHING)
    assert row.problem is not None
    assert row.problem["kind"] == "corrupt-data"
    assert not catalogue.has_pack(pack_id, EVERYTHING)
    assert not store.pack(pack_id).exists()
    assert store.quarantined(pack_id).exists()
    with catalogue.database.write() as connection:
        assert catalogue.hit(connection, pack_id, store, None) is None
    keep_real_pack(catalogue, store)
    again = catalogue.find_sound_pack(pack_id, EVERYTHING)
    assert (again.pinned, again.problem) == (True, None)
    shelf.take(pack_id, EVERYTHING)


@pytest.mark.parametrize("damage", ["cut", "longer", "gone"])
def test_a_file_that_cannot_be_whole_is_no_hit(
    catalogue: Catalogue, store: Store, damage: str
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    path = store.pack(pack_id)
    path.chmod(0o644)
    if damage == "gone":
        path.unlink()
    else:
        os.truncate(path, path.stat().st_size + (9 if damage == "longer" else -9))
    with catalogue.database.write() as connection:
        assert catalogue.hit(connection, pack_id, store, None) is None
    assert not path.exists(), "the job that builds it anew must not find it"
    assert catalogue.find_pack(pack_id, EVERYTHING).problem is not None


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_opening_a_damaged_file_quarantines_it(
    catalogue: Catalogue, store: Store, damage: str
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    path = store.pack(pack_id)
    path.chmod(0o644)
    path.unlink() if damage == "gone" else os.truncate(path, 3000)
    with pytest.raises(Conflict):
        PackShelf(catalogue, store).take(pack_id, EVERYTHING)
    assert catalogue.find_pack(pack_id, EVERYTHING).problem is not None
    assert store.quarantined(pack_id).exists() is (damage == "cut")


def test_a_file_that_cannot_be_read_just_now_is_not_damaged(
    catalogue: Catalogue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)

    def too_many(*_: Any, **__: Any) -> Any:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patched:
        patched.setattr("h5py.File", too_many)
        with pytest.raises(Unavailable):
            PackShelf(catalogue, store).take(pack_id, EVERYTHING)
    away = store.root / "away"
    (store.root / "packs").rename(away)
    with pytest.raises(Unavailable, match="the store is gone"):
        PackShelf(catalogue, store).take(pack_id, EVERYTHING)
    with catalogue.database.write() as connection, pytest.raises(Unavailable):
        catalogue.hit(connection, pack_id, store, None)
    away.rename(store.root / "packs")
    assert PackShelf(catalogue, store).take(pack_id, EVERYTHING)


def test_a_pack_built_since_is_not_quarantined(catalogue: Catalogue, store: Store) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    publish.quarantine(catalogue, store, pack_id, CorruptData("old news"), etag="another")
    assert catalogue.find_sound_pack(pack_id, EVERYTHING)
    publish.quarantine(catalogue, store, "unknown", CorruptData("x"))


class Crash(BaseException):
    pass


@pytest.mark.parametrize("before", [True, False])
def test_a_quarantine_that_crashes_never_leaves_a_bad_pack_served(
    catalogue: Catalogue, store: Store, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    move = Store.quarantine_pack

    def crash(*args: Any) -> None:
        if not before:
            move(*args)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Store, "quarantine_pack", crash)
        with pytest.raises(Crash):
            publish.quarantine(catalogue, store, pack_id, CorruptData("damage"))
    if before:
        assert catalogue.find_sound_pack(pack_id, EVERYTHING), "nothing had happened yet"
        return
    with catalogue.database.write() as connection:
        assert catalogue.hit(connection, pack_id, store, None) is None
    sweep(catalogue, store, 0)
    assert names(catalogue, store) == []
    assert list((store.root / "quarantine").iterdir()) == []
