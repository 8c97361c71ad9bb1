"""Backups: everything comes back, on either database; what is not whole or too new is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cache import formats
from cache.backup import copying
from cache.backup.record import RECORD, Backup, open_backup
from cache.backup.restoring import check, restore
from cache.backup.rows import kind_of
from cache.backup.taking import PART, Taken, take
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Busy, Conflict, CorruptData, NotFound, Unreachable
from cache.identity import sha256_file
from cache.job import NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.publish import delete_pack
from cache.rows import DatasetRow, HeadRow, WeightsRow
from cache.sight import EVERYTHING, UNOWNED
from cache.store import Store
from cache.tables import metadata, stores
from cache.upkeep import sweep
from tests.keeping import keep_real_pack
from tests.manifests import plain_manifest


def ignore(_path: str) -> None:
    pass


@pytest.fixture
def catalogue(database: Database, store: Store) -> Catalogue:
    bind_store(database, store)
    return Catalogue(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups"


@pytest.fixture
def other(tmp_path: Path) -> Iterator[tuple[Database, Store]]:
    """Where backups are restored: nothing is there yet."""
    root = tmp_path / "other"
    root.mkdir()
    database = Database(f"sqlite:///{root / 'featurepack.db'}")
    yield database, Store(root)
    database.close()


def taken(catalogue: Catalogue, store: Store, folder: Path) -> Taken:
    return take(catalogue.database, store, folder, ignore)


def rows_of(database: Database, *without: str) -> dict[str, list[Any]]:
    with database.read() as connection:
        return {
            table.name: sorted(map(tuple, connection.execute(sa.select(table))), key=str)
            for table in metadata.sorted_tables
            if table.name not in without
        }


def files_of(store: Store, *folders: str) -> dict[str, bytes]:
    found = (path for name in folders for path in (store.root / name).iterdir())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in found}


def keep_everything(catalogue: Catalogue, store: Store) -> list[str]:
    """A row of each table that has a file, and its file; the ids of two packs."""
    packs = [keep_real_pack(catalogue, store, seed=seed)[0] for seed in (1, 2)]
    manifest = plain_manifest(5)
    store.save_manifest(manifest)
    upload = store.new_incoming()
    upload.write_bytes(b"checkpoint")
    sha256 = sha256_file(upload)
    upload.rename(store.weights(sha256, ".pth"))
    store.head("h").write_bytes(b"head")
    dataset = DatasetRow("d", 1, manifest.dataset_id, {}, ["ä"], {"train": [0, 5]}, 5, 9)
    with catalogue.database.write() as connection:
        catalogue.add_dataset(connection, dataset)
        catalogue.add_weights(connection, WeightsRow(sha256, "vgg16", "mine", 10, {}))
        catalogue.add_head(connection, HeadRow("h", packs[0], "lab", {}, {"loss": 0.1}))
    upload = store.new_incoming()
    upload.write_bytes(b"upload")
    spec = {"uploads": [{"path": str(upload), "name": "birds.zip"}]}
    Jobs(catalogue.database).enqueue(NewJob("ingest", "ingest:1", spec, UNOWNED))
    return packs


KEPT = ("packs", "datasets", "weights", "heads", "incoming")


def test_everything_comes_back(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    keep_everything(catalogue, store)
    backup = taken(catalogue, store, folder).backup
    assert backup.missing == []
    assert check(backup, ignore) == []
    database, restored = other
    assert restore(open_backup(folder), database, restored, ignore) == []
    but = ("stores", "jobs")
    assert rows_of(database, *but) == rows_of(catalogue.database, *but)
    assert files_of(restored, *KEPT) == files_of(store, *KEPT)
    assert restored.identity() != store.identity()
    [waiting] = Jobs(database).all_active(EVERYTHING)
    path = Path(waiting.spec["uploads"][0]["path"])
    assert path.parent == restored.root / "incoming", "it reads and deletes its own upload"
    assert path.read_bytes() == b"upload"
    bind_store(database, restored)
    assert not sweep(Catalogue(database), restored, 0), "nothing is left over, nothing lacks"


VALUES: dict[str, Callable[[int], Any]] = {
    "json": lambda n: {"ä\n": [n, None, 1.5, True, "\u2028'\"\\"]},
    "boolean": lambda n: bool(n % 2),
    "integer": lambda n: n,
    "float": lambda n: 1760000000.123457 + n / 3,
    "text": lambda n: f'{n} Äpfel 梨 \n "quoted" \\',
    "bytes": lambda n: bytes([0, 255, n]),
}


def fill_every_table(database: Database) -> None:
    """Three rows in each, with a value in every column; the last has None where that may be."""
    with database.write() as connection:
        for table in metadata.sorted_tables:
            for n in range(3):
                row = {column.name: VALUES[kind_of(column)](n) for column in table.columns}
                if n == 2:
                    row |= {column.name: None for column in table.columns if column.nullable}
                connection.execute(sa.insert(table).values(row))


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
def test_every_column_of_every_table_comes_back_in_either_database(
    into: str,
    tmp_path: Path,
    folder: Path,
    store: Store,
    other: tuple[Database, Store],
    request: pytest.FixtureRequest,
) -> None:
    """Tables and columns that nobody thought of here are among them."""
    source, target = Database(f"sqlite:///{tmp_path / 'source.db'}"), other[0]
    source.migrate()
    fill_every_table(source)
    rest = ("stores", "workers", "shards")  # they belong to the store that was left
    with source.write() as connection:
        connection.execute(sa.delete(stores))
    store.make_identity()
    first = taken(Catalogue(source), store, folder)
    before = rows_of(source, *rest)  # as it is now: packs without a file are quarantined
    if into == "postgresql":
        target = request.getfixturevalue("empty_postgres")
    restore(first.backup, target, other[1], ignore)
    assert rows_of(target, *rest) == before
    back = taken(Catalogue(target), other[1], tmp_path / "back")
    hashes = [{one.name: one.hash for one in each.backup.tables} for each in (first, back)]
    assert [hashes[0][name] for name in before] == [hashes[1][name] for name in before]
    source.close()


@pytest.fixture
def empty_postgres(postgres: str) -> Iterator[Database]:
    database = Database(postgres)
    with database.write() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    yield database
    database.close()


def test_what_did_not_change_is_shared_and_each_backup_stands_alone(
    catalogue: Catalogue, store: Store, folder: Path
) -> None:
    keep_everything(catalogue, store)
    first = taken(catalogue, store, folder)
    assert first.copied_bytes > 0
    new, _ = keep_real_pack(catalogue, store, seed=3)
    second = taken(catalogue, store, folder)
    assert second.copied_bytes == store.pack(new).stat().st_size
    for path in sorted(first.backup.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert check(second.backup, ignore) == []


def test_a_backup_is_for_its_owner_alone(catalogue: Catalogue, store: Store, folder: Path) -> None:
    keep_everything(catalogue, store)
    taken(catalogue, store, folder)
    assert folder.stat().st_mode & 0o777 == 0o700


def test_work_that_ran_is_queued_again(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    queue, leases = Jobs(catalogue.database), Leases(catalogue.database)
    waiting = queue.enqueue(NewJob("extract", "b", {"pack_id": "b"}, UNOWNED))
    [running] = leases.claim("w", ["extract"], 30)
    assert running.id == waiting.id
    leases.progress(running, {"rows_done": 32})
    catalogue.worker_seen("w", "cpu")
    taken(catalogue, store, folder)
    database, restored = other
    restore(open_backup(folder), database, restored, ignore)
    job = Jobs(database).get(running.id, EVERYTHING)
    assert (job.state, job.worker, job.progress) == ("queued", None, {})
    assert job.attempts[-1]["outcome"] == "lost"
    assert Catalogue(database).live_workers(1e9) == []
    [again] = Leases(database).claim("v", ["extract"], 30)
    assert again.attempt == running.attempt + 1, "a worker of before is fenced off"


# While it is taken


def during(monkeypatch: pytest.MonkeyPatch, times: int, do: Callable[[], None]) -> None:
    """``do`` something when the first file of each of so many rounds is looked at."""
    left, bring = [*range(times)], copying.Copier.bring

    def disturbed(self: Any, path: str, expected: str | None) -> bool:
        if left and (not self.kept or path in self.kept):
            left.pop()
            do()
        return bring(self, path, expected)

    monkeypatch.setattr(copying.Copier, "bring", disturbed)
    monkeypatch.setattr("cache.backup.taking.PAUSE_SECONDS", 0.01)


def test_a_pack_that_is_deleted_meanwhile_breaks_nothing(
    catalogue: Catalogue,
    store: Store,
    folder: Path,
    other: tuple[Database, Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone, stays = keep_everything(catalogue, store)
    during(monkeypatch, 1, lambda: delete_pack(catalogue, store, gone))
    backup = taken(catalogue, store, folder).backup
    database, restored = other
    restore(backup, database, restored, ignore)
    assert [row.pack_id for row in Catalogue(database).packs(EVERYTHING).items] == [stays]
    assert [path.stem for path in (restored.root / "packs").iterdir()] == [stays]
    assert backup.missing == [], "its head went with it"


def test_a_pack_that_is_built_anew_meanwhile_is_taken_as_it_is_then(
    catalogue: Catalogue, store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)

    def build_anew() -> None:
        delete_pack(catalogue, store, pack_id)
        keep_real_pack(catalogue, store, seed=7, named=pack_id)

    during(monkeypatch, 1, build_anew)
    backup = taken(catalogue, store, folder).backup
    assert [one.hash for one in backup.files] == [catalogue.find_pack(pack_id, EVERYTHING).etag]
    assert check(backup, ignore) == []


def test_a_damaged_pack_is_quarantined_and_the_rest_is_taken(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    damaged, sound = (keep_real_pack(catalogue, store, seed=seed)[0] for seed in (1, 2))
    store.pack(damaged).chmod(0o644)
    with store.pack(damaged).open("r+b") as file:
        file.seek(5000)
        file.write(b"!")
    found = taken(catalogue, store, folder)
    assert found.quarantined == [damaged]
    assert catalogue.find_pack(damaged, EVERYTHING).problem is not None
    database, restored = other
    restore(found.backup, database, restored, ignore)
    with pytest.raises(Conflict, match="quarantined"):
        Catalogue(database).find_sound_pack(damaged, EVERYTHING)
    assert (
        Catalogue(database).find_sound_pack(sound, EVERYTHING).etag
        == catalogue.find_pack(sound, EVERYTHING).etag
    )


def test_rows_whose_file_is_gone_for_good_are_told(
    catalogue: Catalogue, store: Store, folder: Path
) -> None:
    keep_everything(catalogue, store)
    store.head("h").unlink()
    assert taken(catalogue, store, folder).backup.missing == ["heads/h.npz"]


def test_two_at_once_are_refused(catalogue: Catalogue, store: Store, folder: Path) -> None:
    keep_everything(catalogue, store)

    def again(_path: str) -> None:
        with pytest.raises(Busy, match="another backup"):
            taken(catalogue, store, folder)

    take(catalogue.database, store, folder, again)


def test_an_interrupted_backup_is_none_and_is_gone_on_with(
    catalogue: Catalogue, store: Store, folder: Path
) -> None:
    packs = keep_everything(catalogue, store)
    sizes = [store.pack(pack_id).stat().st_size for pack_id in packs]
    seen: list[str] = []

    def interrupt(path: str) -> None:
        seen.append(path)
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take(catalogue.database, store, folder, interrupt)
    with pytest.raises(NotFound, match="no complete backup"):
        open_backup(folder)
    delete_pack(catalogue, store, min(packs))  # the one that was copied
    found = taken(catalogue, store, folder)
    assert not (folder / PART).exists()
    assert {one.path for one in found.backup.files if "packs" in one.path} == {
        f"packs/{max(packs)}.h5"
    }
    assert len(list(found.backup.folder.glob("files/packs/*"))) == 1
    assert found.copied_bytes < sum(sizes) + 20_000
    assert check(found.backup, ignore) == []


# What is refused


def test_a_store_or_database_with_something_in_it_is_refused(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    keep_everything(catalogue, store)
    backup = taken(catalogue, store, folder).backup
    database, restored = other
    with pytest.raises(Conflict, match=r"store .* is not empty"):
        restore(backup, database, store, ignore)
    with pytest.raises(Conflict, match="database is not empty"):
        restore(backup, catalogue.database, restored, ignore)
    assert not restored.restoring_file.exists()
    with database.write() as connection:
        connection.execute(sa.text("CREATE TABLE theirs (id INTEGER)"))
    with pytest.raises(Conflict, match="'theirs'"):
        restore(backup, database, restored, ignore)


def test_a_service_that_was_started_before_is_no_hindrance(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    keep_everything(catalogue, store)
    backup = taken(catalogue, store, folder).backup
    database, restored = other
    database.migrate()
    bind_store(database, restored.create())
    restore(backup, database, restored, ignore)
    bind_store(database, restored)
    but = ("stores", "jobs")
    assert rows_of(database, *but) == rows_of(catalogue.database, *but)


@pytest.mark.parametrize("where", ["files/packs", "rows", RECORD])
def test_a_damaged_backup_is_refused(
    where: str, catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    damaged, sound = sorted(keep_everything(catalogue, store))
    backup = taken(catalogue, store, folder).backup
    path = {
        "files/packs": backup.file(f"packs/{damaged}.h5"),
        "rows": backup.rows("packs"),
        RECORD: backup.folder / RECORD,
    }[where]
    path.chmod(0o600)
    path.write_bytes(path.read_bytes().replace(b"resnet18", b"resnet50").replace(b"vgg", b"vgh"))
    if where == RECORD:
        path.write_bytes(path.read_bytes().replace(b"heads/h.npz", b"heads/i.npz"))
    database, restored = other
    with pytest.raises(CorruptData, match="damaged"):
        restore(open_backup(folder), database, restored, ignore)
    if where != "files/packs":
        return
    assert check(backup, ignore) == [f"packs/{damaged}.h5"]
    with pytest.raises(Conflict, match="not complete"):
        bind_store(database, restored)
    left_out = restore(backup, database, restored, ignore, skip_damaged=True)
    assert left_out == [f"packs/{damaged}.h5"]
    assert Catalogue(database).find_sound_pack(sound, EVERYTHING)
    bind_store(database, restored)


def rewrite(backup: Backup, **changes: Any) -> Backup:
    """As if another version had written it."""
    for name, value in changes.items():
        object.__setattr__(backup, name, value)
    (backup.folder / RECORD).unlink()
    backup.write()
    return backup


def test_a_newer_backup_is_refused(
    catalogue: Catalogue,
    store: Store,
    folder: Path,
    other: tuple[Database, Store],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backup = taken(catalogue, store, folder).backup
    with pytest.raises(Conflict, match="has the schema 9999"):
        restore(rewrite(backup, schema="9999"), *other, ignore)
    monkeypatch.setattr(formats, "BACKUP", 2)
    rewrite(backup)
    monkeypatch.undo()
    with pytest.raises(Unreachable, match="has format 2, this version of featurepack knows 1"):
        open_backup(folder)


def test_a_backup_cannot_write_elsewhere(catalogue: Catalogue, store: Store, folder: Path) -> None:
    keep_everything(catalogue, store)
    backup = taken(catalogue, store, folder).backup
    for path in ("packs/../../x", "/etc/x", "packs/.x", "elsewhere/x", "packs/a/b"):
        said = json.loads((backup.folder / RECORD).read_text())
        rewrite(backup, files=[copying.KeptFile(path, 1, 1, "x")])
        with pytest.raises(CorruptData, match="a file is called"):
            open_backup(folder)
        assert said


def test_a_database_of_another_schema_is_not_taken(
    catalogue: Catalogue, store: Store, folder: Path
) -> None:
    with catalogue.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0005'"))
    with pytest.raises(Conflict, match="schema 0005, this version of featurepack has"):
        taken(catalogue, store, folder)


def test_an_interrupted_restore_is_gone_on_with_and_nothing_starts_before(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    keep_everything(catalogue, store)
    backup = taken(catalogue, store, folder).backup
    database, restored = other
    seen: list[str] = []

    def interrupt(path: str) -> None:
        seen.append(path)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(backup, database, restored, interrupt)
    with pytest.raises(Conflict, match="not complete"):
        bind_store(database, restored)
    more: list[str] = []
    restore(backup, database, restored, more.append)
    assert len(seen) - 1 + len(more) == len(backup.files), "what was there is not copied again"
    assert files_of(restored, *KEPT) == files_of(store, *KEPT)
    bind_store(database, restored)


def test_another_backup_may_take_the_place_of_an_interrupted_restore(
    catalogue: Catalogue, store: Store, folder: Path, other: tuple[Database, Store]
) -> None:
    first, _ = keep_everything(catalogue, store)
    older = taken(catalogue, store, folder).backup
    delete_pack(catalogue, store, first)
    newer = taken(catalogue, store, folder).backup
    database, restored = other

    def interrupt(path: str) -> None:
        if "packs" not in path:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore(older, database, restored, interrupt)
    restore(newer, database, restored, ignore)
    assert files_of(restored, *KEPT) == files_of(store, *KEPT)
    but = ("stores", "jobs")
    assert rows_of(database, *but) == rows_of(catalogue.database, *but)
    # Killed between the commit and the end: the same goes on, another one does not.
    restored.restoring_file.write_text(newer.digest)
    with pytest.raises(Conflict, match="not empty"):
        restore(older, database, restored, ignore)
    restore(newer, database, restored, ignore)
    bind_store(database, restored)
