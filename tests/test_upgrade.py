"""From a release before to this version, on both databases; and what is newer than this version.

``tests/releases/`` has backups that those versions took (or would have taken).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cache import formats, schema
from cache.backup.record import Backup, open_backup
from cache.backup.restoring import restore
from cache.backup.rows import insert_rows
from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Conflict, Unavailable, Unreachable
from cache.identity import hash_file
from cache.manifest_file import blob_of, load_manifest
from cache.pack import open_pack
from cache.publish import open_sound_pack
from cache.row_index import open_index
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import stores
from cache.upkeep import sweep
from service.app import create_app
from service.settings import ServiceSettings
from tests.keeping import keep_real_pack
from tests.manifests import plain_manifest
from tests.processes import DATABASE_AWAY, launch
from tests.releases.make import HERE, PAIR, QUEUED
from tests.serving import Serving, wait, worker_running
from worker.heads.file import LinearHead, load, save

REVISIONS = ("0001", "0006")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'empty.db'}"
        return
    url = request.getfixturevalue("postgres")
    database = Database(url)
    with database.write() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    database.close()
    yield url


def release(revision: str, tmp_path: Path) -> Backup:
    """A backup by the version that had this schema: of 0006, without what came since."""
    folder = tmp_path / "release"
    shutil.copytree(HERE / "0006", folder)
    backup = open_backup(folder)
    if revision == "0006":
        return backup
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    with database.write() as connection:
        schema.upgrade(connection, revision)
        inspector = sa.inspect(connection)
        there = {
            table: [column["name"] for column in inspector.get_columns(table)]
            for table in inspector.get_table_names()
        }
    database.close()
    tables = []
    for kept in backup.tables:
        columns = {n: kind for n, kind in kept.columns.items() if n in there.get(kept.name, ())}
        if not kept.rows or not columns:
            continue
        path = backup.rows(kept.name)
        rows = [
            dict(zip(kept.columns, json.loads(line), strict=True))
            for line in path.read_text().splitlines()
        ]
        path.write_text("".join(json.dumps([row[n] for n in columns]) + "\n" for row in rows))
        tables.append(replace(kept, columns=columns, hash=hash_file(path)))
    return replace(backup, schema=revision, tables=tables)


@pytest.mark.parametrize("how", ["in place", "restored"])
@pytest.mark.parametrize("revision", REVISIONS)
def test_packs_of_releases_before_verify_and_are_hits(
    how: str, revision: str, empty: str, tmp_path: Path
) -> None:
    backup, store = release(revision, tmp_path), Store(tmp_path / "store").create()
    if how == "restored":
        database = Database(empty)
        restore(backup, database, store, lambda _: None)
        database.close()
    else:
        as_it_was(backup, empty, store)
    with TestClient(create_app(ServiceSettings(store, empty))) as http:
        service = Serving(http, store)
        with worker_running(store, database_url=empty):
            [pack] = service.get("/v1/packs")["items"]
            assert wait(service, PAIR)["pack_id"] == pack["pack_id"], "a hit"
            assert service.get(f"/v1/packs/{pack['pack_id']}")["hits"] == 1
            path = f"/v1/packs/{pack['pack_id']}/verify"
            done = service.post(path, None, 200, headers={"Prefer": "wait=60"})
            assert done["state"] == "succeeded"
            [head] = service.get("/v1/heads")["items"]
            weights = http.get(f"/v1/heads/{head['head_id']}/weights")
            assert weights.status_code == 200
            assert wait(service, QUEUED)["rows"] == 12, "its images are read, the job goes on"


def as_it_was(backup: Backup, url: str, store: Store) -> None:
    """The release's own database and store, on which it would have gone on."""
    database = Database(url)
    with database.write() as connection:
        schema.upgrade(connection, backup.schema)
        insert_rows(connection, backup)
        if sa.inspect(connection).has_table("stores"):
            connection.execute(sa.delete(stores))
            connection.execute(sa.insert(stores).values(store_id=store.make_identity()))
    database.close()
    for kept in backup.files:
        shutil.copy(backup.file(kept.path), store.root / kept.path)


# What is newer than this version


def test_a_database_of_a_newer_version_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="has the schema 9999") as refused:
        database.migrate()
    assert "newer version" in refused.value.remedy


@pytest.mark.parametrize("module", ["service", "worker"])
def test_a_process_says_that_its_database_is_newer(
    module: str, store: Store, capfd: pytest.CaptureFixture[str]
) -> None:
    database = Database(store.database_url)
    database.migrate()
    with database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    arguments = ("--port", "0") if module == "service" else ()
    assert launch(module, store, *arguments).wait(60) == DATABASE_AWAY
    said = capfd.readouterr().err
    assert f"{module}: the database has the schema 9999" in said
    assert "Traceback" not in said


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    return Catalogue(database)


def make_newer(path: Path) -> None:
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file.attrs["format_version"] = 2


def test_a_newer_pack_is_refused_and_not_taken_for_damage(
    catalogue: Catalogue, store: Store
) -> None:
    pack_id, _ = keep_real_pack(catalogue, store)
    make_newer(store.pack(pack_id))
    row = catalogue.find_sound_pack(pack_id, EVERYTHING)
    with pytest.raises(Unreachable, match=r"the pack .* has format 2.* knows 1") as refused:
        open_sound_pack(catalogue, store, row)
    assert "newer" in refused.value.remedy
    with pytest.raises(Unavailable):
        open_pack(store.pack(pack_id))
    assert open_index(store.pack(pack_id)) is None, "none of its rows is copied"
    assert catalogue.find_sound_pack(pack_id, EVERYTHING)
    with catalogue.database.write() as connection:
        catalogue.forget_pack(connection, pack_id)
    sweep(catalogue, store, 0)
    assert store.pack(pack_id).exists(), "whoever can read it puts it back"


def test_a_newer_manifest_is_refused_and_its_images_stay(store: Store) -> None:
    manifest = plain_manifest(5)
    store.save_manifest(manifest)
    path = store.manifest(manifest.dataset_id)
    make_newer(path)
    with pytest.raises(Unreachable, match=r"the manifest .* has format 2"):
        load_manifest(path)
    assert blob_of(path) == "?", "any blob may be its own"


def test_a_newer_head_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "head.npz"
    weight_DK = np.zeros((2, 2), np.float32)
    monkeypatch.setattr(formats, "HEAD", 2)
    save(path, LinearHead(weight_DK, weight_DK[0], ("a", "b")))
    monkeypatch.undo()
    with pytest.raises(Unreachable, match=r"the head head\.npz has format 2"):
        load(path)
