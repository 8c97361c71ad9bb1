"""A worker keeps the store within its limit, and tidies up while it works."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from cache.errors import InvalidRequest
from cache.jobs import Jobs
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import packs
from tests.pictures import write_image_folder
from tests.working import build, recipe_of, register, submit, working
from worker.context import Context
from worker.loop import step
from worker.settings import WorkerSettings
from worker.tasks import EXTRACTION
from worker.upkeep import tidy


@pytest.fixture
def folder(store: Store) -> Path:
    assert store.data_root is not None
    return write_image_folder(store.data_root / "set", {"train": {"a": 6}}, side=8)


def make_idle(context: Context) -> None:
    with context.database.write() as connection:
        connection.execute(sa.update(packs).values(last_used=0.0))


def test_a_worker_makes_room_for_a_pack(store: Store, folder: Path) -> None:
    manifest = register(store, folder)
    with working(store) as context:
        (first,) = build(context, manifest, recipe_of(weights="random:1"))
        size = context.catalogue.find_pack(first.spec["pack_id"], EVERYTHING).bytes
    with working(store, max_pack_bytes=3 * size // 2) as context:
        (job,) = build(context, manifest, recipe_of(weights="random:2"))
        assert (job.state, job.failures) == ("queued", 1)
        assert "in use" in job.attempts[-1]["error"]["detail"]
        make_idle(context)
        submit(context, manifest, [recipe_of(weights="random:2")])  # its pause is over
        assert step(context, EXTRACTION)
        assert Jobs(context.database).get(job.id, EVERYTHING).state == "succeeded"
        assert [row.pack_id for row in context.catalogue.packs(EVERYTHING).items] == [
            job.spec["pack_id"]
        ]
    with working(store, max_pack_bytes=1000) as context:
        (job,) = build(context, manifest, recipe_of(weights="random:3"))
        assert job.state == "failed"
        assert job.error is not None
        assert job.error["kind"] == "too-large"
        make_idle(context)
        tidy(context)
        assert context.catalogue.packs(EVERYTHING).items == []


def test_a_worker_sweeps(store: Store) -> None:
    (store.root / "incoming" / "left").touch()
    with working(store, keep_seconds=0.0) as context:
        tidy(context)
    assert not list((store.root / "incoming").iterdir())


def test_the_settings_of_upkeep(tmp_path: Path) -> None:
    env = {"FEATUREPACK_STORE": str(tmp_path), "FEATUREPACK_KEEP_SECONDS": "0"}
    settings = WorkerSettings.from_env(env)
    assert (settings.keep_seconds, settings.max_pack_bytes) == (0.0, None)
    settings = WorkerSettings.from_env({"FEATUREPACK_MAX_PACK_BYTES": "1000000"})
    assert (settings.keep_seconds, settings.max_pack_bytes) == (86400.0, 1_000_000)
    for name, value in (
        ("FEATUREPACK_KEEP_SECONDS", "-1"),
        ("FEATUREPACK_KEEP_SECONDS", "nan"),
        ("FEATUREPACK_MAX_PACK_BYTES", "2 GB"),
        ("FEATUREPACK_LEASE_SECONDS", "0"),
    ):
        with pytest.raises(InvalidRequest, match=name):
            WorkerSettings.from_env({name: value})
