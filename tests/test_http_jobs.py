"""Jobs over HTTP: submit, join, estimate, taps, views, events, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cache.store import Store
from tests.serving import PAIR, Serving, images, serving, wait, worker_running, zipped


def test_a_pair_is_queued_built_and_then_cached(served: Serving) -> None:
    body = PAIR | {"weights": "random:77"}
    estimate = served.post("/v1/jobs/estimate", body)["items"][0]
    assert (estimate["cached"], estimate["rows_to_compute"]) == (False, 31)
    response = served.http.post("/v1/jobs", json=body)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/v1/jobs/{job['id']}"
    assert served.post("/v1/jobs", body, 202)["id"] == job["id"]
    ended = served.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
    assert ended["state"] == "succeeded"
    assert ended["result"]["rows"] == 31
    cached = served.http.post("/v1/jobs", json=body)
    assert cached.status_code == 200
    assert cached.json()["pack_id"] == job["pack_id"] == estimate["pack_id"]
    assert cached.json()["hits"] == 1
    estimate = served.post("/v1/jobs/estimate", body)["items"][0]
    assert (estimate["cached"], estimate["rows_to_compute"]) == (True, 0)


def test_an_estimate_says_what_the_job_then_does(served: Serving) -> None:
    body = PAIR | {"weights": "random:78", "view": {"limit": 9}}
    first = served.post("/v1/jobs/estimate", body)["items"][0]
    assert (first["rows"], first["rows_cached"], first["rows_to_compute"]) == (18, 0, 18)
    small = wait(served, body)
    assert small["provenance"]["rows_computed"] == 18
    whole = {name: value for name, value in body.items() if name != "view"}
    estimate = served.post("/v1/jobs/estimate", whole)["items"][0]
    assert (estimate["rows_cached"], estimate["rows_to_compute"]) == (18, 13)
    assert estimate["bytes"] == 31 * 512 * 4
    job = served.post("/v1/jobs", whole, 202)
    ended = served.get(f"/v1/jobs/{job['id']}", headers={"Prefer": "wait=60"})
    assert (ended["result"]["rows_copied"], ended["result"]["rows_computed"]) == (18, 13)
    progress = ended["progress"]
    assert (progress["rows_copied"], progress["rows_computed"], progress["rows_done"]) == (
        18,
        13,
        31,
    )
    nothing = served.post("/v1/jobs/estimate", body | {"view": {"limit": 4}})["items"][0]
    assert (nothing["cached"], nothing["rows_to_compute"], nothing["seconds"]) == (False, 0, 0)


def test_seconds_follow_from_the_rate_that_was_measured(store: Store) -> None:
    from cache.catalogue import Catalogue
    from cache.database import Database
    from cache.rates import Rates
    from cache.recipe import Recipe

    with serving(store) as service, worker_running(store):
        archive = zipped({f"train/a/{n}.png": data for n, data in enumerate(images(6))})
        service.upload("/v1/datasets", name="six", file=("six.zip", archive))
        body = PAIR | {"dataset": "six"}
        estimate = service.post("/v1/jobs/estimate", body)["items"][0]
        assert (estimate["seconds"], estimate["measured_on"]) == (None, None)
        recipe = Recipe.from_dict(wait(service, body)["recipe"])
        database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
        rates = Rates(database)
        (machine,) = {one.machine for one in Catalogue(database).live_workers(60)}
        rates.keep("", machine, recipe, 2.0)
        rates.keep("", machine, recipe, 4.0)
        rates.keep("", "a machine whose worker is gone", recipe, 100.0)
        estimate = service.post("/v1/jobs/estimate", body | {"weights": "random:1"})["items"][0]
        database.close()
    assert (estimate["seconds"], estimate["images_per_second"]) == (1.5, 4.0)
    assert estimate["measured_on"] == machine


def test_a_job_is_cancelled_when_its_last_submitter_withdraws(store: Store) -> None:
    with serving(store) as service:
        with worker_running(store):
            archive = zipped({f"train/a/{n}.png": data for n, data in enumerate(images(6))})
            service.upload("/v1/datasets", name="set", file=("six.zip", archive))
        for name in ("ann", "bob", "bob"):
            job = service.post("/v1/jobs", PAIR | {"submitter": name, "priority": 3}, 202)
        assert job["submitters"] == ["ann", "bob"]
        path = f"/v1/jobs/{job['id']}/cancel"
        problem = service.post(f"{path}?submitter=eve", None, 409)
        assert "'eve'" in problem["detail"]
        service.post(path, None, 409)
        left = service.post(f"{path}?submitter=bob")
        assert (left["state"], left["submitters"]) == ("queued", ["ann"])
        assert service.post(f"{path}?submitter=ann")["state"] == "cancelled"
        service.post("/v1/jobs", PAIR | {"submitter": ""}, 422)
        again = service.post("/v1/jobs", PAIR, 202)
        assert again["id"] != job["id"]
        assert again["submitters"][0].startswith("unnamed-")
        assert service.post(f"/v1/jobs/{again['id']}/cancel?force=true")["state"] == "cancelled"


def test_attempts_and_the_next_one_are_told(store: Store) -> None:
    from cache.database import Database
    from cache.errors import Unavailable
    from cache.leases import Leases

    with serving(store) as service:
        with worker_running(store):
            archive = zipped({f"train/a/{n}.png": data for n, data in enumerate(images(6))})
            service.upload("/v1/datasets", name="set", file=("six.zip", archive))
        job = service.post("/v1/jobs", PAIR, 202)
        assert (job["attempts"], job["next_try"]) == ([], None)
        database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
        (mine,) = Leases(database).claim("w", ["extract"], 30)
        running = service.get(f"/v1/jobs/{job['id']}")["attempts"]
        assert [(one["outcome"], one["ended"]) for one in running] == [("running", None)]
        Leases(database).retry(mine, Unavailable("the disk is full", remedy="make space"))
        database.close()
        job = service.get(f"/v1/jobs/{job['id']}")
    (attempt,) = job["attempts"]
    assert (attempt["attempt"], attempt["worker"]) == (1, "w")
    assert attempt["outcome"] == "retrying"
    assert attempt["error"]["detail"] == "the disk is full"
    assert job["state"] == "queued"
    assert job["next_try"] > attempt["ended"]


def test_several_taps_of_one_request(served: Serving) -> None:
    taps = ["features.7.cat:avg", {"layer": "features", "pool": "max"}, {"pool": "avg"}]
    body = PAIR | {"weights": "random:5", "taps": taps}
    items = wait(served, body)["items"]
    assert [item["object"] for item in items] == ["pack"] * 3
    assert [item["row_shape"] for item in items] == [[256], [512], [512]]
    assert [item["recipe"]["tap"]["pool"] for item in items] == ["avg", "max", "avg"]


def test_a_view_is_another_pack_and_the_same_one_again(served: Serving) -> None:
    one = wait(served, PAIR | {"view": {"per_class": 3, "seed": 1}})
    assert one["splits"] == {"train": [0, 6], "validation": [6, 15]}
    again = served.post("/v1/jobs", PAIR | {"view": {"per_class": 3, "seed": 1}})
    assert again["pack_id"] == one["pack_id"]
    other = wait(served, PAIR | {"view": {"per_class": 3, "seed": 2}})
    assert other["pack_id"] != one["pack_id"]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"network": "resnet51"}, 404, "resnet51"),
        ({"dataset": "fish"}, 404, "fish"),
        ({"dataset": "set@7"}, 404, "set@7"),
        ({"weights": "IMAGENET1K_V9"}, 404, "IMAGENET1K_V9"),
        ({"weights": "sha256:" + "0" * 64}, 404, "0" * 64),
        ({"weights": "nope.pth"}, 404, "nope.pth"),
        ({"weights": "../../etc/passwd.pth"}, 404, "passwd"),
        ({"weights": "random:x"}, 422, "random:x"),
        ({"tap": "features.99"}, 404, "features.99"),
        ({"tap": {"layer": "features", "pool": "median"}}, 422, "pool"),
        ({"tap": {"layer": "flatten", "pool": "avg"}}, 422, "flatten"),
        ({"tap": "features", "taps": ["features"]}, 422, "tap"),
        ({"taps": []}, 422, "taps"),
        ({"transform": "crop"}, 422, "preset"),
        ({"transform": {"size": [8, 8, 8]}}, 422, "size"),
        ({"transform": {"size": 5000}}, 422, "5000"),
        ({"transform": {"preset": "stretch", "size": 4}}, 422, "[4, 4]"),
        ({"transform": {"crop": [300, 300]}}, 422, "crop"),
        ({"numerics": {"compute": "int8"}}, 422, "compute"),
        ({"view": {"per_class": 11}}, 422, "梨"),
        ({"view": {"per_class": 0}}, 422, "per_class"),
        ({"view": {"validation": 0.5}}, 422, "validation"),
        ({"on_error": "ignore"}, 422, "on_error"),
        ({"batch_size": 7}, 422, "batch_size"),
        ({"transform": {"std": [1e-30, 1, 1]}}, 422, "std"),
        ({"priority": 101}, 422, "priority"),
    ],
    ids=lambda value: json.dumps(value)[:40] if isinstance(value, dict) else None,
)
def test_wrong_submissions_are_problems_and_queue_nothing(
    served: Serving, change: dict[str, Any], status: int, named: str
) -> None:
    before = len(served.get("/v1/jobs?limit=500")["items"])
    problem = served.post("/v1/jobs", PAIR | change, status)
    assert named in problem["detail"]
    served.post("/v1/jobs/estimate", PAIR | change, status)
    assert len(served.get("/v1/jobs?limit=500")["items"]) == before


def test_bodies_that_are_no_json_or_too_large(served: Serving) -> None:
    for body, named in (
        (b"{", "no JSON"),
        (b'{"network": "vgg16", "dataset": "set", "view": {"validation": NaN}}', "validation"),
        (
            b'{"network": "vgg16", "dataset": "set", "transform": {"mean": [Infinity, 0, 0]}}',
            "mean",
        ),
        (b'{"network": "vgg16", "dataset": "\\ud800"}', "surrogate"),
        (b'{"network": "\\ud800", "dataset": "set"}', "surrogate"),
    ):
        headers = {"Content-Type": "application/json"}
        broken = served.http.post("/v1/jobs", content=body, headers=headers)
        assert broken.status_code == 422, body
        assert named in broken.json()["detail"]
    for path in ("/v1/jobs", "/v1/datasets"):
        large = served.http.post(path, content=b" " * (9 << 20))
        assert large.status_code == 413
        assert large.json()["remedy"]
    assert served.http.get("/nowhere").json()["status"] == 404
    assert served.http.put("/v1/jobs").json()["status"] == 405


def test_jobs_tell_by_name_what_they_are_about(store: Store) -> None:
    with serving(store) as served, worker_running(store):
        digits = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        served.post("/v1/datasets", digits, 201)
        wanted = PAIR | {"dataset": "digits", "view": {"limit": 20}}
        pack_id = wait(served, wanted)["pack_id"]
        head = {"pack_id": pack_id, "method": "centroid", "validation": None}
        served.http.post("/v1/heads", json=head, headers={"Prefer": "wait=30"})
        served.http.get(f"/v1/packs/{pack_id}/statistics")
        served.http.post(f"/v1/packs/{pack_id}/verify", headers={"Prefer": "wait=30"})
        jobs = served.get("/v1/jobs")["items"]
    pair = {"network": PAIR["network"], "dataset": "digits"}
    assert {job["kind"]: job["about"] for job in jobs} == {
        "ingest": {"network": None, "dataset": "digits"},
        "extract": pair,
        "head": pair,
        "statistics": pair,
        "verify": pair,
    }


def test_broken_images_are_named_in_the_result(served: Serving) -> None:
    good, bad = images(1)[0], b"\x89PNG broken"
    members = {"train/a/1.png": good, "train/a/2.png": bad, "train/b/3.png": images(1, 4)[0]}
    served.upload("/v1/datasets", name="broken", file=("m.zip", zipped(members)))
    body = PAIR | {"dataset": "broken"}
    problem = wait(served, body | {"on_error": "fail"}, 422)
    assert problem["value"] == "train/a/2.png"
    pack = wait(served, body)
    assert pack["invalid_rows"] == ["train/a/2.png"]
    problem = served.post("/v1/jobs", body | {"on_error": "fail"}, 422)
    assert problem["value"] == ["train/a/2.png"]


def test_events_tell_the_story_of_a_job(served: Serving) -> None:
    job = served.post("/v1/jobs", PAIR | {"weights": "random:21"}, 202)
    with served.http.stream("GET", f"/v1/jobs/{job['id']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in stream.iter_lines() if line.startswith("data: ")]
    last = json.loads(lines[-1].removeprefix("data: "))
    assert last["state"] == "succeeded"
    assert last["id"] == job["id"]


def test_jobs_without_a_worker(store: Store) -> None:
    """Queued jobs can be seen and cancelled; readiness says that nobody works."""
    assert store.data_root is not None
    with serving(store) as service:
        assert service.get("/healthz") == {"status": "alive"}
        assert "no worker" in service.get("/readyz", 503)["detail"]
        body = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        job = service.post("/v1/datasets", body, 202, headers={"Prefer": "respond-async"})
        assert job["state"] == "queued"
        assert service.post(f"/v1/jobs/{job['id']}/cancel")["state"] == "cancelled"
        assert service.post(f"/v1/jobs/{job['id']}/cancel")["state"] == "cancelled"
        service.get("/v1/jobs/nope", 404)
        service.get("/v1/jobs/nope/events", 404)
        service.post("/v1/jobs/nope/cancel", None, 404)
        service.get("/v1/jobs?cursor=bad", 422)
        assert service.get("/v1/jobs?state=cancelled&kind=ingest")["items"][0]["id"] == job["id"]


def test_a_pack_is_refused_to_whoever_wants_no_broken_images(served: Serving) -> None:
    data = {f"train/a/{n}.png": picture for n, picture in enumerate(images(6, seed=8))}
    data["train/a/9.png"] = b"broken"
    served.upload("/v1/datasets", name="dented", file=("dented.zip", zipped(data)))
    pair = PAIR | {"dataset": "dented", "weights": "random:9"}
    assert wait(served, pair)["invalid_rows"] == ["train/a/9.png"]
    problem = served.post("/v1/jobs", pair | {"on_error": "fail"}, 422)
    assert problem["value"] == ["train/a/9.png"]
