"""What one team keeps to itself leaves no trace for another, by any call."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import anyio
import pytest
import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import NotFound
from cache.rates import Rates
from cache.recipe import Recipe
from cache.sight import EVERYTHING, SHARED, Sight
from cache.store import Store
from cache.upkeep import sweep
from tests.serving import PAIR, Serving, serving, wait, worker_running
from tests.teams import as_team, guarded, holding
from tests.two_teams import WAIT, Things, make, register

CLOCKS = re.compile(
    rb'"(?:seen|last_used|started|request_id)": ?"[^"]*"|"(?:seen|started)":\d+\.\d+'
    rb'|"queued_jobs":\d+,"heads":\d+'  # of the last minute
)

FOR_ADMINS = ("/metrics", "/v1/audit", "/v1/keys")


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with guarded(store) as found:
        yield found


def looked_at(service: Serving, team: Serving, things: Things) -> dict[str, bytes]:
    """What every GET call answers, about things that the team sees; but for the clocks."""
    names = asdict(things) | {"name": things.dataset, "row": "0", "key_id": "x"}
    names["team"] = "finches"
    answers = {}
    for path, methods in service.get("/openapi.json")["paths"].items():
        if "get" not in methods or path in ("/v1/events", "/v1/networks/{name}"):
            continue
        answer = team.http.get(path.format(**names), headers=WAIT)
        while answer.status_code == 202:  # it is being made
            answer = team.http.get(path.format(**names), headers=WAIT)
        good = (403,) if path in FOR_ADMINS else (200, 404, 422)
        assert answer.status_code in good, (path, answer.text)
        answers[path] = CLOCKS.sub(b"", answer.content)
    for query in ("packs?sort=accuracy", "packs?q=nest", "jobs?kind=ingest", "heads?limit=1"):
        answers[query] = CLOCKS.sub(b"", team.http.get(f"/v1/{query}").content)
    return answers


@contextmanager
def hearing(team: Serving) -> Iterator[list[bytes]]:
    """What the team hears of ``/v1/events`` meanwhile."""
    heard: list[bytes] = []
    headers = [(k.lower().encode(), v.encode()) for k, v in team.http.headers.items()]
    path = "/v1/events"
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "raw_path": path.encode(), "state": {}}

    async def listen(*, task_status: Any) -> None:
        with anyio.CancelScope() as limit:

            async def receive() -> dict[str, Any]:
                await anyio.sleep_forever()
                raise AssertionError

            async def send(message: Any) -> None:
                heard.append(message.get("body", b""))
                if b"ready" in heard[-1]:
                    task_status.started(limit)

            await team.http.app(scope, receive, send)

    assert team.http.portal is not None
    future, limit = team.http.portal.start_task(listen)
    yield heard
    team.http.portal.call(anyio.sleep, 2.5)  # the queue is looked at once a second
    team.http.portal.call(limit.cancel)
    future.result()


def test_a_private_dataset_leaves_no_trace(service: Serving, store: Store) -> None:
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        register(finches, "park")
        seen = make(finches, "park")
        looked_at(service, finches, seen)  # some calls make a job when they are first asked
        before = looked_at(service, finches, seen)
        with hearing(finches) as heard:
            register(owls, "nest", seed=1, private=True)
            hidden = make(owls, "nest")
        after = looked_at(service, finches, seen)
        assert after.keys() == before.keys()
        for call, answer in before.items():
            assert after[call] == answer, call
        told = [line for line in b"".join(heard).split(b"\n") if not line.startswith(b":")]
        assert b"event: job" not in told
        for answer in (*after.values(), *heard):
            for trace in (b"nest", b"owls", *(v.encode() for v in asdict(hidden).values())):
                assert trace not in answer
        # Its own team sees it, and a member who only reads does, too.
        shared = finches.get("/v1/overview")["packs"]
        assert owls.get("/v1/overview")["packs"] == 2 * shared
        (mine,) = as_team(service, "owls", "read").get("/v1/packs?q=nest")["items"][:1]
        assert (mine["private"], mine["team"]) == (True, "owls")
        whole = owls.get(f"/v1/packs/{mine['pack_id']}")
        assert whole["dataset_info"]["space"] == "owls"


@pytest.mark.parametrize("private", [False, True])
def test_the_same_images_of_another_team_are_a_full_extraction(
    service: Serving, store: Store, private: bool
) -> None:
    marks = {"private": True} if private else {}
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        wrens = as_team(service, "wrens")
        controls = register(wrens, "control", seed=5, private=True)
        expected = _asked(wrens, "control")
        theirs = register(owls, "nest", private=True)
        pack = wait(owls, PAIR | {"dataset": "nest"})
        mine = register(finches, "nest", private=private)
        assert (mine["version"], mine["rows"]) == (1, theirs["rows"])
        assert mine["dataset_id"] not in (theirs["dataset_id"], controls["dataset_id"])
        found = _asked(finches, "nest")
        assert found == expected
        own = wait(finches, PAIR | {"dataset": "nest"} | marks)
        assert own["pack_id"] != pack["pack_id"]
        assert own["provenance"]["rows_copied"] == 0
        assert own["provenance"]["copied_from"] == pack["provenance"]["copied_from"]
        assert store.manifest(mine["dataset_id"]) != store.manifest(theirs["dataset_id"])
        assert store.blob(mine["dataset_id"]).stat().st_ino != (
            store.blob(theirs["dataset_id"]).stat().st_ino
        )
        assert [job["state"] for job in finches.get("/v1/jobs")["items"]] == ["succeeded"] * 2


def _asked(team: Serving, dataset: str) -> dict[str, Any]:
    """The estimate and the statuses of a submission, but for the ids."""
    body = PAIR | {"dataset": dataset}
    estimate = team.post("/v1/jobs/estimate", body)["items"][0]
    first = team.http.post("/v1/jobs", json=body)
    done = team.http.get(f"/v1/jobs/{first.json()['id']}", headers=WAIT).json()
    return estimate | {
        "pack_id": None,
        "statuses": [first.status_code, first.json()["state"], done["state"]],
        "attempts": len(done["attempts"]),
        "result": done["result"] | {"pack_id": None},
    }


def test_a_private_pack_of_a_shared_dataset_takes_what_is_shared_and_gives_nothing(
    service: Serving, store: Store
) -> None:
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        shared = register(finches, "park")
        half = PAIR | {"dataset": "park", "view": {"limit": 6}}
        wait(finches, half)
        body = PAIR | {"dataset": "park", "private": True}
        assert owls.post("/v1/jobs/estimate", body)["items"][0]["rows_cached"] == 6
        mine = wait(owls, body)
        assert mine["private"] is True
        assert mine["provenance"]["rows_copied"] == 6
        assert mine["dataset_id"] != shared["dataset_id"]
        assert owls.http.get(f"/v1/packs/{mine['pack_id']}/rows/0/thumbnail").status_code == 200
        estimate = finches.post("/v1/jobs/estimate", PAIR | {"dataset": "park"})["items"][0]
        assert estimate["rows_cached"] == 6
        again = wait(owls, body | {"view": {"limit": 10}})
        assert again["provenance"]["rows_copied"] == 10, "its own rows are its own to use"
        theirs = wait(finches, PAIR | {"dataset": "park"})
        assert theirs["private"] is False
        assert theirs["provenance"]["rows_copied"] == 6


def test_jobs_are_not_joined_and_datasets_not_kept_for_another_team(
    service: Serving, store: Store
) -> None:
    owls, finches = as_team(service, "owls"), as_team(service, "finches")
    with worker_running(store):
        shared = register(finches, "park")
    body = PAIR | {"dataset": "park"}
    hidden = owls.post("/v1/jobs", body | {"private": True}, 202)
    mine = finches.post("/v1/jobs", body, 202)
    assert mine["id"] != hidden["id"]
    assert mine["submitters"] == ["finches"]
    assert owls.post("/v1/jobs", body | {"submitter": "ada"}, 202)["id"] == mine["id"]
    assert finches.get(f"/v1/jobs/{mine['id']}")["submitters"] == ["finches", "owls/ada"]
    conflict = finches.http.delete("/v1/datasets/park")
    assert (conflict.status_code, hidden["id"] in conflict.text) == (409, False)
    finches.post(f"/v1/jobs/{mine['id']}/cancel")
    owls.post(f"/v1/jobs/{mine['id']}/cancel?submitter=ada")
    assert finches.http.delete("/v1/datasets/park").status_code == 204
    assert store.blob(shared["dataset_id"]).exists(), "the hidden job needs the images"
    assert owls.get(f"/v1/jobs/{hidden['id']}")["state"] == "queued"


def test_names_are_a_teams_own_first(service: Serving, store: Store) -> None:
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        shared = register(finches, "park")
        own = register(owls, "park", seed=1, private=True)
        assert own["version"] == 1
        assert owls.get("/v1/datasets/park")["dataset_id"] == own["dataset_id"]
        assert finches.get("/v1/datasets/park")["dataset_id"] == shared["dataset_id"]
        assert len(owls.get("/v1/datasets")["items"]) == 2
        refused = {"name": "park", "source": {"kind": "builtin", "name": "digits"}}
        assert "finches" in owls.post("/v1/datasets", refused, 403)["detail"]
        assert owls.http.delete("/v1/datasets/park").status_code == 204
        assert owls.get("/v1/datasets/park")["dataset_id"] == shared["dataset_id"]
        assert owls.http.delete("/v1/datasets/park").status_code == 403


def test_what_is_not_there_and_what_may_not_be_seen_cost_the_same_queries(
    service: Serving, store: Store
) -> None:
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        register(owls, "nest", private=True)
        pack_id = wait(owls, PAIR | {"dataset": "nest"})["pack_id"]
        owls.http.get(f"/v1/packs/{pack_id}/features")  # open, and at hand for its team
    engine = service.http.app.state.featurepack.database.engine  # type: ignore[attr-defined]
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    for path in ("", "/features", "/file", "/layout", "/statistics", "/rows/0/thumbnail"):
        finches.http.get("/v1/packs")  # the key is remembered now
        costs = []
        for named in (pack_id, "0123456789ab-0123456789ab"):
            asked.clear()
            assert finches.http.get(f"/v1/packs/{named}{path}").status_code == 404
            costs.append([statement for statement in asked if "FROM keys" not in statement])
        assert costs[0] == costs[1], path


def test_private_packs_come_back_as_private_when_the_database_was_lost(store: Store) -> None:
    with guarded(store) as service, worker_running(store):
        owls = as_team(service, "owls")
        register(owls, "nest", private=True)
        hidden = wait(owls, PAIR | {"dataset": "nest"})["pack_id"]
        register(owls, "park")
        shared = wait(owls, PAIR | {"dataset": "park"})["pack_id"]
    for path in store.root.glob("featurepack.db*"):
        path.unlink()
    database = Database(store.database_url)
    database.migrate()
    catalogue = Catalogue(database)
    assert sorted(sweep(catalogue, store, 3600).recovered) == sorted([hidden, shared])
    row = catalogue.find_pack(hidden, Sight("owls"))
    assert (row.space, row.team, row.dataset_info["space"]) == ("owls", "owls", "owls")
    with pytest.raises(NotFound):
        catalogue.find_pack(hidden, Sight("finches"))
    assert catalogue.find_pack(shared, Sight("finches")).space == SHARED
    database.close()


def test_a_rate_that_a_private_job_measured_is_seen_by_its_team_alone(
    service: Serving, store: Store
) -> None:
    with worker_running(store):
        owls = as_team(service, "owls")
        register(owls, "nest", private=True)
        recipe = Recipe.from_dict(wait(owls, PAIR | {"dataset": "nest"})["recipe"])
    rates = Rates(service.http.app.state.featurepack.database)  # type: ignore[attr-defined]
    rates.keep("owls", "m", recipe, 100.0)
    found = {sight: rates.find(recipe, 10, sight) for sight in (Sight("owls"), Sight("finches"))}
    assert [rate is not None for rate in found.values()] == [True, False]
    rates.keep(SHARED, "m", recipe, 50.0)
    assert rates.find(recipe, 10, Sight("finches")) is not None


def test_images_that_are_sent_to_be_classified_are_nobody_elses_business(
    service: Serving, store: Store
) -> None:
    with worker_running(store):
        owls, finches = as_team(service, "owls"), as_team(service, "finches")
        register(finches, "park")
        things = make(finches, "park")
        job = owls.post(f"/v1/heads/{things.head_id}/predict", {"rows": [0]}, headers=WAIT)
        assert job["private"] is True
        finches.get(f"/v1/jobs/{job['id']}", 404)
        assert owls.get(f"/v1/jobs/{job['id']}")["result"]["predictions"]


def test_private_needs_a_team(store: Store) -> None:
    body = {"name": "x", "source": {"kind": "builtin", "name": "digits"}, "private": True}
    with serving(store) as service:
        assert "no team" not in service.post("/v1/datasets", body, 422)["remedy"]
        assert service.get("/v1/session") == {
            "object": "session",
            "team": None,
            "scope": "admin",
            "open": True,
        }


def test_admins_see_and_may_do_everything(service: Serving, store: Store) -> None:
    with worker_running(store):
        owls = as_team(service, "owls")
        register(owls, "nest", private=True)
        pack_id = wait(owls, PAIR | {"dataset": "nest"})["pack_id"]
        row = service.get(f"/v1/packs/{pack_id}")
        assert (row["team"], row["private"]) == ("owls", True)
        assert service.get("/v1/datasets/nest")["private"] is True
        assert service.http.put(f"/v1/packs/{pack_id}/pin").status_code == 200
        assert json.loads(service.http.get("/v1/overview").content)["packs"] == 1
        assert holding(service, None).http.get("/v1/packs").status_code == 401
        catalogue = service.http.app.state.featurepack.catalogue  # type: ignore[attr-defined]
        assert catalogue.find_pack(pack_id, EVERYTHING).pinned
