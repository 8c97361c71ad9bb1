"""Everything that a team can have, once shared and once private, made by a real worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.serving import PAIR, Serving, images, wait, zipped

WAIT = {"Prefer": "wait=60"}
LINEAR = {"method": "centroid", "validation": None}


def archive(seed: int = 0, each: int = 6) -> bytes:
    """Images of two classes; the same for the same seed."""
    found = images(2 * each, seed)
    return zipped({f"train/{'ab'[n % 2]}/{n}.png": data for n, data in enumerate(found)})


def register(team: Serving, name: str, seed: int = 0, *, private: bool = False) -> dict[str, Any]:
    marks = {"private": "true"} if private else {}
    parts = {"name": name, "file": ("images.zip", archive(seed)), **marks}
    answer: dict[str, Any] = team.upload("/v1/datasets", **parts)
    return answer


@dataclass(frozen=True)
class Things:
    """The ids of what was made of one dataset."""

    dataset: str
    pack_id: str
    head_id: str
    job_id: str
    study_id: str
    advice_id: str
    predict_job_id: str


def make(team: Serving, dataset: str, **marks: Any) -> Things:
    """Pack, head, jobs, statistics, map, study, advice and predictions on a dataset."""
    body = PAIR | {"dataset": dataset, "view": {"validation": 0.5}} | marks
    pack_id = wait(team, body)["pack_id"]
    head = team.post("/v1/heads", {"pack_id": pack_id} | LINEAR, headers=WAIT)
    jobs = team.get("/v1/jobs?kind=extract")["items"]
    for path in ("statistics", "map"):
        assert team.http.get(f"/v1/packs/{pack_id}/{path}", headers=WAIT).status_code == 200
    study = {
        "networks": [{name: PAIR[name] for name in ("network", "weights", "transform")}],
        "datasets": [{"dataset": dataset, "view": body["view"]}],
        "methods": ["centroid"],
    } | marks
    predicted = team.post(f"/v1/heads/{head['head_id']}/predict", {"rows": [0, 1]}, headers=WAIT)
    advice = {name: body[name] for name in ("network", "weights", "transform", "dataset", "view")}
    advised = team.post("/v1/advice", advice | marks, headers=WAIT)
    return Things(
        dataset=dataset,
        pack_id=pack_id,
        head_id=head["head_id"],
        job_id=next(job["id"] for job in jobs if job["pack_id"] == pack_id),
        study_id=team.post("/v1/studies", study, headers=WAIT)["study_id"],
        advice_id=advised["advice_id"],
        predict_job_id=predicted["id"],
    )
