"""``python -m tests.releases.make NAME``: a small backup by this version, for those to come.

Run it when a version is released, before its tables change again, and keep the folder for as long
as that version can be upgraded from: tests/test_upgrade.py brings it to the newest form.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from cache.backup.taking import take
from cache.store import Store
from tests.serving import Serving, images, serving, wait, worker_running, zipped

HERE = Path(__file__).parent

PAIR: dict[str, Any] = {
    "network": "squeezenet1_1",
    "dataset": "birds",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 64},
    "view": {"validation": 0.25},
}
QUEUED = PAIR | {"weights": "random:1"}


def fill(service: Serving, store: Store) -> None:
    """A dataset with its images, a view of it, a pack, a head, and a job that is not done."""
    names = [f"train/{name}/{number}.png" for name in ("Möwe", "梟") for number in range(6)]
    archive = zipped(dict(zip(names, images(len(names)), strict=True)))
    with worker_running(store):
        headers = {"Prefer": "wait=60"}
        upload = {"data": {"name": "birds"}, "files": [("file", ("birds.zip", archive))]}
        reply = service.http.post("/v1/datasets", headers=headers, **upload)
        assert reply.status_code == 201, reply.text
        pack = wait(service, PAIR)
        service.post("/v1/heads", {"pack_id": pack["pack_id"], "method": "lab"}, headers=headers)
    service.post("/v1/jobs", QUEUED, 202)


def main(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder) / "store").create()
        with serving(store) as service:
            fill(service, store)
            database = service.http.app.state.featurepack.database  # type: ignore[attr-defined]
            taken = take(database, store, Path(folder) / "backups", print)
        shutil.copytree(taken.backup.folder, HERE / name)


if __name__ == "__main__":
    main(sys.argv[1])
