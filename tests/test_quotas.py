"""Limits of teams: each is named by its problem; the ledger and its answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import InvalidRequest, QuotaExceeded, StorageFull
from cache.job import NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.ledger import DAY
from cache.quotas import Quotas
from cache.rows import DatasetRow
from cache.sight import SHARED, Owner
from cache.store import Store
from cache.tables import ledger
from cache.tables import packs as packs_table
from cache.teams import Limits, Teams, limits_of
from featurepack import Client, Forbidden
from featurepack.cli.main import main
from featurepack.teams import Team
from service import allowances
from tests.serving import PAIR, Serving, worker_running
from tests.teams import as_team, guarded
from tests.test_catalogue import pack_row
from tests.two_teams import register

OWLS = Owner(SHARED, "owls")


def teams_of(database: Database, **defaults: Any) -> Teams:
    return Teams(database, Limits(**defaults))


def queue(database: Database, kind: str = "extract", owner: Owner = OWLS, **more: Any) -> None:
    key = f"{kind}{time.monotonic_ns()}"
    Jobs(database, Quotas(teams_of(database))).enqueue(NewJob(kind, key, {}, owner, **more))


# On both databases


def test_a_teams_own_limit_goes_before_the_default(database: Database) -> None:
    teams = teams_of(database, queued_jobs=5, upload_bytes=7)
    teams.limit("owls", Limits(queued_jobs=1, heads_per_minute=0.5))
    assert teams.limits("owls") == Limits(queued_jobs=1, upload_bytes=7, heads_per_minute=0.5)
    assert teams.limits("finches") == Limits(queued_jobs=5, upload_bytes=7)
    teams.limit("owls", Limits())
    assert teams.limits("owls") == teams.defaults
    assert teams.names() == ["owls"]


def test_queued_jobs_of_a_team_have_a_limit(database: Database) -> None:
    teams_of(database).limit("owls", Limits(queued_jobs=2))
    queue(database)
    queue(database, "head")
    with pytest.raises(QuotaExceeded, match="owls has 2 jobs queued, and may have 2"):
        queue(database)
    queue(database, owner=Owner(SHARED, "finches"))
    queue(database, owner=Owner(SHARED, None))
    assert Leases(database).claim("w", ["extract"], 30)
    assert Leases(database).claim("w", ["extract"], 30)
    assert Leases(database).claim("w", ["extract"], 30)
    queue(database)


def test_a_job_that_is_joined_is_none_more(database: Database) -> None:
    teams_of(database).limit("owls", Limits(queued_jobs=1))
    jobs = Jobs(database, Quotas(teams_of(database)))
    first = jobs.enqueue(NewJob("extract", "same", {}, OWLS))
    assert jobs.enqueue(NewJob("extract", "same", {}, OWLS)).id == first.id


def test_heads_of_a_minute_have_a_limit(database: Database) -> None:
    teams_of(database).limit("owls", Limits(heads_per_minute=2))
    queue(database, "head")
    queue(database, "head")
    with pytest.raises(QuotaExceeded, match="asked for 2 heads in the last minute") as refused:
        queue(database, "head")
    assert refused.value.retry_after == 60
    queue(database, "predict")


def test_what_a_team_stores_has_a_limit(database: Database, store: Store) -> None:
    teams = teams_of(database)
    teams.limit("owls", Limits(stored_bytes=1000))
    catalogue = Catalogue(database)
    with database.write() as connection:
        catalogue.add_pack(connection, pack_row("p", bytes=400, team="owls"))
        catalogue.add_pack(connection, pack_row("q", bytes=9999, team="finches"))
        same = {"dataset_id": "d", "source": {}, "classes": [], "splits": {}, "rows": 1}
        for name in ("a", "b"):  # the same images under two names
            row = DatasetRow(name, 0, bytes=300, team="owls", **same)
            catalogue.add_dataset(connection, row)
    assert teams.use("owls").stored_bytes == 700
    queue(database, stores=300)
    with pytest.raises(StorageFull, match="owls stores 700 bytes and may store 1000; 301 more"):
        queue(database, stores=301)
    quotas, jobs = Quotas(teams), Jobs(database)
    jobs.enqueue(NewJob("extract", "big", {"pack_id": "big"}, OWLS))
    jobs.enqueue(NewJob("extract", "new", {"pack_id": "new"}, OWLS))
    held = {job.key: job for _ in range(3) for job in Leases(database).claim("w", ["extract"], 9)}
    building = store.building("big")
    building.mkdir(parents=True)
    (building / "x.h5").write_bytes(bytes(200))
    quotas.must_fit(store, held["new"], "new", 100)
    with pytest.raises(StorageFull, match="stores 900 bytes"):  # with what is being built
        quotas.must_fit(store, held["new"], "new", 101)
    quotas.must_fit(store, held["new"], "p", 500)  # built anew: its own bytes do not count
    quotas.must_store("owls", "d", 9999)  # they are there already
    with pytest.raises(StorageFull):
        quotas.must_store("owls", "e", 301)
    quotas.must_store(None, "e", 10**15)


def test_the_ledger_is_summed_by_day(database: Database, store: Store) -> None:
    with database.write() as connection:
        now = connection.execute(sa.select(database.now)).scalar_one()
        noon = now // DAY * DAY
        row = {"job_id": "a", "attempt": 1, "kind": "extract", "team": "owls", "began": noon}
        row |= {"rows_computed": 10, "rows_copied": 3, "seconds_saved": 1.5, "seconds": 8.0}
        for attempt, (ended, device) in enumerate(
            ((noon, "cuda:0,cuda:1"), (noon + 1, "cpu"), (noon - DAY, "cpu"), (noon - 9 * DAY, ""))
        ):
            connection.execute(
                sa.insert(ledger).values(
                    row | {"attempt": attempt, "ended": ended, "device": device}
                )
            )
        catalogue = Catalogue(database)
        known = {"images_per_second": 50.0}
        catalogue.add_pack(connection, pack_row("p", rows=100, provenance=known))
        size = connection.execute(sa.select(packs_table.c.bytes)).scalar_one()
        store.pack("p").write_bytes(bytes(size))
        for _ in range(2):
            assert catalogue.hit(connection, "p", store, "owls") is not None
    today, before = teams_of(database).days("owls", 7)
    assert (today.jobs, today.device_seconds, today.gpu_seconds) == (1, 16.0, 8.0)
    assert (today.rows_computed, today.rows_copied, today.saved_by_copies) == (20, 6, 3.0)
    assert (today.hits, today.saved_by_hits) == (2, 4.0)
    assert (before.day, before.device_seconds) == (today.day - 1, 8.0)
    assert teams_of(database).days("finches", 7) == []


def test_defaults_are_settings() -> None:
    env = {"FEATUREPACK_TEAM_QUEUED_JOBS": "5", "FEATUREPACK_TEAM_HEADS_PER_MINUTE": "0.5"}
    assert limits_of(env) == Limits(queued_jobs=5, heads_per_minute=0.5)
    for wrong in ("-1", "x", "nan", "inf"):
        with pytest.raises(InvalidRequest, match="FEATUREPACK_TEAM_REQUESTS_PER_SECOND"):
            limits_of({"FEATUREPACK_TEAM_REQUESTS_PER_SECOND": wrong})
    with pytest.raises(InvalidRequest, match="FEATUREPACK_TEAM_STORED_BYTES"):
        limits_of({"FEATUREPACK_TEAM_STORED_BYTES": "1.5"})


# Over HTTP


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with guarded(store) as found:
        yield found


def limit(service: Serving, team: str, **limits: Any) -> None:
    answer = service.http.put(f"/v1/teams/{team}", json=limits)
    assert answer.status_code == 200, answer.text


def refused(answer: Any, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    for word in (*words, "an admin raises it"):
        assert word in problem["detail"] + problem["remedy"], problem


def test_requests_beyond_the_rate_are_refused_until_it_allows(service: Serving) -> None:
    owls, finches = as_team(service, "owls"), as_team(service, "finches")
    owls.get("/v1/packs")
    limit(service, "owls", requests_per_second=2)
    answers = [owls.http.get("/v1/packs") for _ in range(4)]
    assert answers[0].status_code == 200
    refused(answers[-1], 429, "owls may make 2 requests per second", "--requests-per-second")
    assert answers[-1].headers["Retry-After"] == "1"
    finches.get("/v1/packs")
    service.get("/v1/packs")
    time.sleep(0.6)
    owls.get("/v1/packs")


def test_an_upload_beyond_the_teams_limit_is_refused_before_it_is_read(service: Serving) -> None:
    owls = as_team(service, "owls")
    limit(service, "owls", upload_bytes=1000)
    files = {"file": ("a.zip", bytes(5000))}
    answer = owls.http.post("/v1/datasets", data={"name": "a"}, files=files)
    refused(answer, 413, "larger than 1000 bytes", "--upload-bytes")
    boundary = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    told = {"Content-Type": "multipart/form-data; boundary=x"}
    pieces = iter([boundary, bytes(2000), b"\r\n--x--\r\n"])  # no length is told before
    refused(owls.http.post("/v1/datasets", content=pieces, headers=told), 413, "1000 bytes")
    finches, files = as_team(service, "finches"), {"file": ("a.pth", bytes(5000))}
    told = {"data": {"network": "resnet18"}, "headers": {"Prefer": "wait=0"}}
    assert finches.http.post("/v1/weights", files=files, **told).status_code == 202


def test_queued_jobs_heads_and_storage_over_http(service: Serving) -> None:
    with worker_running(service.store):
        owls = as_team(service, "owls")
        register(owls, "park")
        pack = owls.post("/v1/jobs", PAIR | {"dataset": "park"}, 200, headers={"Prefer": "wait=60"})
    stored = service.get("/v1/teams/owls")["use"]["stored_bytes"]
    assert stored > pack["bytes"]
    limit(service, "owls", heads_per_minute=1, queued_jobs=1, stored_bytes=stored + 100)
    owls.get("/v1/packs")
    head = {"pack_id": pack["pack_id"], "train": "train", "validation": None}
    owls.post("/v1/heads", head | {"method": "ridge"}, 202)
    again = owls.http.post("/v1/heads", json=head | {"method": "knn"})
    refused(again, 429, "owls has 1 jobs queued, and may have 1", "--queued-jobs")
    limit(service, "owls", heads_per_minute=1, stored_bytes=stored + 100)
    again = owls.http.post("/v1/heads", json=head | {"method": "knn"})
    refused(again, 429, "owls asked for 1 heads in the last minute, and may for 1")
    assert again.headers["Retry-After"] == "60"
    other = {"network": PAIR["network"], "dataset": "park", "weights": "random:9"}
    refused(owls.http.post("/v1/jobs", json=other), 507, f"may store {stored + 100}")
    owls.post("/v1/jobs", PAIR | {"dataset": "park"}, 200)  # what is there costs nothing
    files = {"file": ("a.zip", bytes(500))}
    refused(owls.http.post("/v1/datasets", data={"name": "b"}, files=files), 507, "may store")


def test_a_worker_refuses_what_only_it_can_measure(service: Serving) -> None:
    with worker_running(service.store):
        owls = as_team(service, "owls")
        register(owls, "park")
        stored = service.get("/v1/teams/owls")["use"]["stored_bytes"]
        limit(service, "owls", stored_bytes=stored + 100)
        # Of another input size, the service does not know how long a row is.
        pair = PAIR | {"dataset": "park", "tap": "features"}
        answer = owls.http.post("/v1/jobs", json=pair, headers={"Prefer": "wait=60"})
        refused(answer, 507, "team owls stores")


def test_teams_are_told_and_limited(service: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    owls = as_team(service, "owls")
    as_team(service, "finches")
    assert [one["team"] for one in service.get("/v1/teams")["items"]] == ["finches", "owls"]
    assert [one["team"] for one in owls.get("/v1/teams")["items"]] == ["owls"]
    owls.get("/v1/teams/finches", 404)
    assert owls.http.put("/v1/teams/owls", json={}).status_code == 403
    with Client(http=service.http, cache=False) as client:
        found = client.limit_team("owls", queued_jobs=3, stored_bytes=10**9)
        assert isinstance(found, Team)
        found = client.limit_team("owls", stored_bytes=None)
        assert (found.own_limits.queued_jobs, found.limits.stored_bytes) == (3, None)
        assert client.team("owls").limits == found.limits

        def run(*arguments: str) -> str:
            assert main(arguments, connect=lambda *_, **__: client) == 0
            return capsys.readouterr().out

        assert "0 of 3" in run("teams", "limit", "owls", "--heads-per-minute", "2.5")
        assert "0 of 2.5" in run("teams", "show", "owls")
        assert "no limit" in run("teams", "limit", "owls", "--queued-jobs", "default")
        assert "finches" in run("teams")
    with Client(http=owls.http, cache=False) as client, pytest.raises(Forbidden):
        client.limit_team("owls", queued_jobs=9)


def test_a_limit_that_another_process_set_holds_after_seconds(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(allowances, "REMEMBERED_SECONDS", 0.0)
    owls = as_team(service, "owls")
    database = Database(service.store.database_url)
    teams_of(database).limit("owls", Limits(requests_per_second=0.001))
    database.close()
    owls.get("/v1/packs")
    refused(owls.http.get("/v1/packs"), 429, "0.001 requests")


def test_the_work_for_a_team_is_in_its_ledger(service: Serving) -> None:
    with worker_running(service.store):
        owls = as_team(service, "owls")
        register(owls, "park")
        pack = owls.post("/v1/jobs", PAIR | {"dataset": "park"}, 200, headers={"Prefer": "wait=60"})
        as_team(service, "finches").post("/v1/jobs", PAIR | {"dataset": "park"})
    (day,) = service.get("/v1/teams/owls")["days"]
    assert (day["rows_computed"], day["rows_copied"]) == (pack["rows"], 0)
    assert day["device_seconds"] > 0
    assert (day["jobs"], day["hits"], day["gpu_seconds"]) == (2, 0, 0)
    (day,) = service.get("/v1/teams/finches")["days"]
    assert (day["hits"], day["jobs"]) == (1, 0)
    assert day["seconds_saved_by_hits"] > 0
