"""How a process finds its database: a password from a file, a migration by one of many."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.database import Database
from cache.database_url import with_password
from cache.errors import Conflict, InvalidRequest
from cache.opening import open_database
from cache.store import Store
from service.settings import ServiceSettings
from tests.postgres_server import PostgresServer, postgres_server
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
URL = "postgresql+psycopg://featurepack@database/featurepack"
PASSWORD = "p@ss/wörd: %41"


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", "utf-8")
    return file


@pytest.mark.parametrize("settings", [ServiceSettings, WorkerSettings])
def test_a_password_comes_from_its_file_and_is_not_shown(
    settings: type[ServiceSettings | WorkerSettings], password_file: Path
) -> None:
    env = {
        "FEATUREPACK_DATABASE": URL,
        "FEATUREPACK_DATABASE_PASSWORD_FILE": str(password_file),
    }
    found = settings.from_env(env)
    url = sa.make_url(found.database_url)
    assert (url.password, url.username, url.host) == (PASSWORD, "featurepack", "database")
    assert "p@ss" not in repr(found)
    assert "p%40ss" not in repr(found)


@pytest.mark.parametrize(
    ("url", "content", "message"),
    [
        ("postgresql+psycopg://ann:secret@host/name", "x", "has a password already"),
        ("sqlite:///a.db", "x", "takes none"),
        ("ann:secret", "x", "no address of a database"),
        (URL, "\n", "empty file"),
        (URL, None, "cannot be read"),
    ],
)
def test_a_password_that_cannot_be_is_refused(
    url: str, content: str | None, message: str, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidRequest, match=message) as refused:
        with_password(url, str(file))
    assert "secret" not in f"{refused.value} {refused.value.value} {refused.value.remedy}"


def migrating(server: PostgresServer, store: Path) -> subprocess.Popen[str]:
    env = os.environ | {"FEATUREPACK_DATABASE": server.url, "FEATUREPACK_STORE": str(store)}
    command = [sys.executable, "-m", "service", "migrate"]
    return subprocess.Popen(command, env=env, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def test_many_may_migrate_at_once_and_again(tmp_path: Path) -> None:
    with postgres_server() as server:
        for _ in range(2):
            running = [migrating(server, tmp_path / "store") for _ in range(3)]
            for one in running:
                _, err = one.communicate(timeout=60)
                assert one.returncode == 0, err
        assert server.ask("SELECT count(*) FROM alembic_version") == 1
        assert server.ask("SELECT count(*) FROM stores") == 1
        other = migrating(server, tmp_path / "other")
        _, err = other.communicate(timeout=60)
        assert other.returncode == 2
        assert "belongs to another store" in err


def test_a_store_and_a_database_belong_together(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", None)
    open_database(store.database_url, store).close()
    open_database(store.database_url, store).close()
    with pytest.raises(Conflict, match="belongs to another store"):
        open_database(store.database_url, Store(tmp_path / "other", None))


def alive(store: Store, **settings: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"FEATUREPACK_STORE": str(store.root)} | settings
    command = [sys.executable, "-m", "worker.alive"]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


def test_a_worker_is_alive_when_the_database_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", None)
    assert alive(store).returncode == 1  # and there is no database
    with closing(open_database(store.database_url, store)) as database:
        silent = alive(store, FEATUREPACK_WORKER="north")
        assert silent.returncode == 1
        assert "none here that was heard of" in silent.stderr
        _heard_of(database, "north")
        assert alive(store, FEATUREPACK_WORKER="north").returncode == 0
        assert alive(store, FEATUREPACK_WORKER="nort").returncode == 1
        assert alive(store).returncode == 1
        _heard_of(database, f"{os.uname().nodename}-1")
        assert alive(store).returncode == 0


def _heard_of(database: Database, worker: str) -> None:
    Catalogue(database).worker_seen(worker, "cpu")
