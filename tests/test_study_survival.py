"""A study goes on by itself, whichever worker or service is killed meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cache.store import Store
from tests.pictures import write_image_folder
from tests.processes import PAIR, insist, process, register, rows_done, service, wait_until

STUDY = {
    "networks": [
        {
            "network": PAIR["network"],
            "weights": PAIR["weights"],
            "transform": PAIR["transform"],
            "taps": ["layer1:flatten", "flatten"],
        }
    ],
    "datasets": ["set"],
    "methods": ["centroid", "knn"],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    splits = {"train": {"a": 100, "b": 60}, "validation": {"a": 16, "b": 16}}
    write_image_folder(tmp_path / "data" / "set", splits, side=16)
    return Store(tmp_path / "store", tmp_path / "data").create()


def test_workers_and_services_are_killed_and_nobody_polls(store: Store) -> None:
    with service(store) as http, process("worker", store) as worker:
        register(http)
        study = insist(http, "POST", "/v1/studies", json=STUDY)
        (job_id, *_) = [job["id"] for job in jobs_of(http, "extract")]
        wait_until(lambda: rows_done(http, job_id) > 0)
        worker.kill()
        worker.wait()
        assert not heads_done(http)
    # Nobody asks for the study now: a new service only lists jobs.
    with service(store) as http:
        with process("worker", store) as worker:
            wait_until(lambda: packs_done(http) or heads_done(http), 120)
            worker.kill()
            worker.wait()
        with process("worker", store):
            wait_until(lambda: heads_done(http) == 4, 120)
        done = insist(http, "GET", f"/v1/studies/{study['study_id']}")
    assert [cell["state"] for cell in done["cells"]] == ["succeeded"] * 4


def jobs_of(http: Any, kind: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = insist(http, "GET", f"/v1/jobs?kind={kind}")["items"]
    return found


def packs_done(http: Any) -> int:
    return len(insist(http, "GET", "/v1/packs")["items"])


def heads_done(http: Any) -> int:
    return len(insist(http, "GET", "/v1/heads")["items"])
