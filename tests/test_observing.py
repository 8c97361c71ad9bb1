"""Metrics, log lines and readiness of a service: what it says of itself, and what it never says."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from cache.catalogue import Catalogue
from cache.counts import Counts, kept_counts
from cache.database import Database
from cache.errors import CorruptData, Unavailable
from cache.health import look
from cache.job import NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.logs import JsonLines, TextLines, log_format
from cache.origin import Origin, doing
from cache.sight import EVERYTHING, UNOWNED
from cache.signs import DeviceMemory, LaneSign
from cache.store import Store
from cache.tables import jobs, workers
from service.access_log import AccessLog
from service.app import create_app
from service.settings import ServiceSettings
from tests.keeping import keep_real_pack
from tests.serving import Serving, serving
from tests.test_catalogue import pack_row

LANES = {"extraction": LaneSign(["extract"]), "quick": LaneSign(["head", "predict"], 0.0)}


@pytest.fixture
def alone(database: Database, store: Store) -> Iterator[Serving]:
    """A service on each kind of database, without a worker."""
    url = database.engine.url.render_as_string(hide_password=False)
    settings = ServiceSettings(store=store, database_url=url, work_silence_seconds=60)
    with TestClient(create_app(settings), raise_server_exceptions=False) as http:
        yield Serving(http, store)


def scraped(serving: Serving) -> dict[tuple[str, ...], float]:
    """(name, values of its labels in the order of their names …) → value."""
    reply = serving.http.get("/metrics")
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (
            sample.name.removeprefix("featurepack_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def later(database: Database, seconds: float) -> None:
    """As if all that is there had happened so long ago."""
    with database.write() as connection:
        connection.execute(sa.update(jobs).values(due=jobs.c.due - seconds))
        connection.execute(sa.update(workers).values(started=workers.c.started - seconds))


def test_requests_are_counted_by_route_and_not_by_path(alone: Serving) -> None:
    for pack_id in ("a", "b"):
        alone.get(f"/v1/packs/{pack_id}", 404)
    alone.http.request("BREW", "/v1/packs")
    alone.http.get("/v1/nowhere/private-name")
    found = scraped(alone)
    assert found["http_request_seconds_count", "GET", "/v1/packs/{pack_id}", "4xx"] == 2
    assert found["http_request_seconds_count", "other", "/v1/packs", "4xx"] == 1
    assert found["http_request_seconds_count", "GET", "other", "4xx"] == 1
    assert found["problems_total", "not-found"] == 2
    assert found["problems_total", "http"] == 2
    assert found["http_requests_in_flight",] == 1  # the scrape itself
    assert found["database_seconds_count",] > 0
    assert "private-name" not in alone.http.get("/metrics").text


def test_refusals_are_counted(store: Store) -> None:
    with serving(store, small_transfers=1, large_transfers=1) as service:
        state = service.http.app.state.featurepack  # type: ignore[attr-defined]
        pack_id, _ = keep_real_pack(state.catalogue, store)
        with state.transfers.place(large=False, team=None):
            service.get(f"/v1/packs/{pack_id}/features", 429)
        found = scraped(service)
    assert found["http_refused_total", "/v1/packs/{pack_id}/features"] == 1
    assert found["problems_total", "busy"] == 1


def test_the_queue_and_the_workers_are_told(alone: Serving, database: Database) -> None:
    queue = Jobs(database)
    for key in ("a", "b"):
        queue.enqueue(NewJob("head", key, {"pack_id": "secret"}, UNOWNED))
    queue.enqueue(NewJob("extract", "e", {}, UNOWNED))
    queue.enqueue(NewJob("head", "c", {}, UNOWNED, after="e"))
    (running,) = Leases(database).claim("w", ["extract"], 30)
    (failing,) = Leases(database).claim("w", ["head"], 30)
    Leases(database).retry(failing, Unavailable("not now"))
    memory = [DeviceMemory("cuda:0", 3, 7)]
    Catalogue(database).worker_seen("w", "cuda:0", "m", 500, LANES, memory)
    found = scraped(alone)
    states = {key[2]: value for key, value in found.items() if key[:2] == ("jobs", "head")}
    assert states == {"due": 1, "paused": 1, "waiting": 1, "running": 0}
    assert found["jobs", "extract", "running"] == 1
    assert 0 <= found["queue_oldest_seconds", "head"] < 30
    assert found["queue_oldest_seconds", "extract"] == 0
    assert found["workers",] == 1
    worked = found["worker_last_work_timestamp_seconds", "quick", "w"]
    assert worked == pytest.approx(time.time(), abs=30)
    assert ("worker_last_work_timestamp_seconds", "extraction", "w") not in found
    assert found["gpu_memory_used_bytes", "cuda:0", "w"] == 3
    assert found["gpu_memory_total_bytes", "cuda:0", "w"] == 7
    assert found["pack_bytes_limit",] == 500
    Leases(database).finish(running, lambda _: {})


def test_what_workers_counted_stays_when_they_end(alone: Serving, database: Database) -> None:
    queue, url = Jobs(database), database.engine.url.render_as_string(hide_password=False)
    for number in (1, 2):
        queue.enqueue(NewJob("verify", f"k{number}", {}, UNOWNED))
        its_own = Database(url)  # as each worker's process has
        catalogue, leases = Catalogue(its_own), Leases(its_own)
        (job,) = leases.claim(f"w{number}", ["verify"], 30)
        leases.fail(job, CorruptData("broken"))
        its_own.counts.add("rows_computed", "resnet18", 100)
        catalogue.worker_seen(f"w{number}", "cpu")
        its_own.counts.add("rows_computed", "resnet18", 11)
        catalogue.worker_gone(f"w{number}")
        its_own.close()
        found = scraped(alone)
        assert found["rows_computed_total", "resnet18"] == 111 * number
        assert found["job_attempts_total", "verify", "failed"] == number
        assert found["job_errors_total", "corrupt-data"] == number
    assert found["workers",] == 0


def test_counts_that_cannot_be_kept_are_not_lost() -> None:
    counts = Counts()
    counts.add("errors", "busy")
    with pytest.raises(Unavailable), counts.taken():  # noqa: PT012
        counts.add("errors", "busy", 2)
        raise Unavailable("away")
    assert counts.sums() == {("errors", "busy"): 3}
    with counts.taken():
        pass
    assert counts.sums() == {}


def test_every_outcome_of_an_attempt_is_counted(database: Database) -> None:
    leases = Leases(database)
    for number in range(5):
        Jobs(database).enqueue(NewJob("head", str(number), {}, UNOWNED))
    (lost,) = leases.claim("w", ["head"], -1)
    (again,) = leases.claim("w", ["head"], 30)
    assert (again.id, again.attempt) == (lost.id, 2)
    leases.finish(again, lambda _: {})
    for end in (
        lambda job: leases.fail(job, CorruptData("x")),
        lambda job: leases.retry(job, Unavailable("x")),
        leases.hand_back,
    ):
        (job,) = leases.claim("w", ["head"], 30)
        end(job)
    (job,) = leases.claim("w", ["head"], 30)
    Jobs(database).cancel(job.id)
    leases.end_cancelled(job)
    outcomes = ("lost", "succeeded", "failed", "retrying", "handed back", "cancelled")
    attempts = {f"head/{outcome}": 1.0 for outcome in outcomes}
    found = database.counts.sums()
    assert {label: n for (name, label), n in found.items() if name == "attempts"} == attempts
    assert found["errors", "unavailable"] == found["errors", "corrupt-data"] == 1
    with database.read() as connection:
        assert kept_counts(connection) == {}


def test_hits_and_what_they_saved_are_counted(alone: Serving, store: Store) -> None:
    state = alone.http.app.state.featurepack  # type: ignore[attr-defined]
    pack_id, _ = keep_real_pack(state.catalogue, store, rows=50)
    with state.database.write() as connection:
        row = state.catalogue.pack_in(connection, pack_id, EVERYTHING)
        rated = row.provenance | {"images_per_second": 100.0, "rows_copied": 20}
        saved = state.catalogue.add_pack(connection, pack_row(**vars(row) | {"provenance": rated}))
    assert saved == pytest.approx(0.2)
    for _ in range(3):
        state.jobs.submit(
            NewJob("extract", "k", {}, UNOWNED),
            lambda connection: state.catalogue.hit(connection, pack_id, store, None),
        )
    state.jobs.enqueue(NewJob("extract", "k", {}, UNOWNED))
    state.jobs.enqueue(NewJob("extract", "k", {}, UNOWNED))
    found = scraped(alone)
    assert (found["pack_hits_total",], found["extractions_total",]) == (3, 1)
    assert found["seconds_saved_total", "hit"] == pytest.approx(1.5)
    assert found["packs", "sound"] == 1
    assert found["pack_rows",] == 50


def test_a_scrape_without_the_database_tells_the_rest(alone: Serving) -> None:
    state = alone.http.app.state.featurepack  # type: ignore[attr-defined]

    def away(*_: object) -> None:
        raise sa.exc.OperationalError("SELECT", {}, Exception("gone"))

    sa.event.listen(state.database.engine, "before_cursor_execute", away)
    found = scraped(alone)
    assert (found["database_up",], found["ready",]) == (0, 0)
    assert ("workers",) not in found
    assert found["store_free_bytes",] > 0
    sa.event.remove(state.database.engine, "before_cursor_execute", away)
    assert scraped(alone)["database_up",] == 1


def test_a_scrape_of_many_packs_is_cheap_and_names_no_dataset(
    alone: Serving, database: Database
) -> None:
    catalogue = Catalogue(database)
    provenance = {"images_per_second": 300.0, "certificate": "x" * 2000}
    with database.write() as connection:
        for number in range(5000):
            row = pack_row(f"p{number}", dataset="patients", provenance=provenance)
            catalogue.add_pack(connection, row)
    text = alone.http.get("/metrics").text
    assert "patients" not in text
    assert len(text) < 100_000
    took = []
    for _ in range(10):
        began = time.perf_counter()
        scraped(alone)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.1  # 20 ms where nothing else runs


# --- readiness -------------------------------------------------------------------------------


def test_ready_is_a_worker_that_is_heard_of_and_has_nothing_to_do(
    alone: Serving, database: Database
) -> None:
    assert "no worker" in alone.get("/readyz", 503)["detail"]
    Catalogue(database).worker_seen("w", "cpu", lanes=LANES)
    later(database, 3600)
    assert [worker["worker"] for worker in alone.get("/readyz")["workers"]] == ["w"]


def test_not_ready_where_jobs_wait_and_their_lane_does_nothing(
    alone: Serving, database: Database
) -> None:
    catalogue = Catalogue(database)
    catalogue.worker_seen("w", "cpu", lanes=LANES)
    Jobs(database).enqueue(NewJob("extract", "e", {}, UNOWNED))
    alone.get("/readyz")  # it has just come
    later(database, 3600)
    catalogue.worker_seen("w", "cpu", lanes=LANES)  # its heart beats, and another lane works
    problem = alone.get("/readyz", 503)
    assert "'extraction'" in problem["detail"]
    assert scraped(alone)["ready",] == 0
    Jobs(database).enqueue(NewJob("extract", "e", {}, UNOWNED))  # whoever asks again hides nothing
    alone.get("/readyz", 503)
    busy = LANES | {"extraction": LaneSign(["extract"], 30.0)}
    catalogue.worker_seen("w2", "cpu", lanes=busy)
    alone.get("/readyz")


def test_jobs_that_pause_or_wait_for_others_are_no_reason(
    alone: Serving, database: Database
) -> None:
    Catalogue(database).worker_seen("w", "cpu", lanes=LANES)
    Jobs(database).enqueue(NewJob("extract", "e", {}, UNOWNED))
    Jobs(database).enqueue(NewJob("head", "h", {}, UNOWNED, after="e"))
    (job,) = Leases(database).claim("w", ["extract"], 30)
    Leases(database).retry(job, Unavailable("not now"))
    with database.write() as connection:
        connection.execute(sa.update(workers).values(started=0.0))
        connection.execute(sa.update(jobs).where(jobs.c.kind == "head").values(due=0.0))
    assert [one.oldest_seconds for one in look(database, 30).queue] == [0, 0]
    alone.get("/readyz")


def test_a_store_that_is_gone_is_not_ready(alone: Serving, database: Database) -> None:
    Catalogue(database).worker_seen("w", "cpu", lanes=LANES)
    away = alone.store.root.rename(alone.store.root.with_name("away"))
    assert "store" in alone.get("/readyz", 503)["detail"]
    away.rename(alone.store.root)
    alone.get("/readyz")


# --- request ids and log lines ---------------------------------------------------------------


@pytest.mark.parametrize("given", ["abc-1", "Root=1-5759e988-bd862e3f", "a" * 128])
def test_a_sane_request_id_is_kept(alone: Serving, given: str) -> None:
    reply = alone.http.get("/v1/packs/none", headers={"X-Request-Id": given})
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == given


@pytest.mark.parametrize("given", ["", "a" * 129, 'a"b', "a b", "ä".encode(), b"a\\u000a"])
def test_any_other_is_replaced(alone: Serving, given: str | bytes) -> None:
    reply = alone.http.get("/v1/packs/none", headers={"X-Request-Id": given})
    made = reply.headers["x-request-id"]
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert reply.json()["request_id"] == made
    assert alone.http.get("/healthz").headers["x-request-id"] != made


def test_an_error_that_nobody_foresaw_has_its_request_id(
    alone: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalogue, "find_pack", lambda *_: 1 / 0)
    caplog.handler.setFormatter(JsonLines())
    reply = alone.http.get("/v1/packs/p", headers={"X-Request-Id": "mine"})
    assert reply.status_code == 500
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "mine"
    line = next(json.loads(one) for one in caplog.text.splitlines() if "ZeroDivision" in one)
    assert (line["request_id"], line["level"]) == ("mine", "ERROR")
    assert scraped(alone)["problems_total", "internal"] == 1


def test_jobs_know_the_request_that_queued_them(database: Database) -> None:
    with doing(Origin("r1", "00-1-2-01")):
        first = Jobs(database).enqueue(NewJob("head", "k", {}, UNOWNED))
    with doing(Origin("r2")):
        assert Jobs(database).enqueue(NewJob("head", "k", {}, UNOWNED)).request_id == "r1"
    (claimed,) = Leases(database).claim("w", ["head"], 30)
    assert (claimed.id, claimed.request_id, claimed.traceparent) == (first.id, "r1", "00-1-2-01")
    assert Jobs(database).enqueue(NewJob("head", "other", {}, UNOWNED)).request_id == ""


@pytest.mark.parametrize("form", ["json", "text"])
def test_access_lines_tell_all_but_what_may_be_secret(
    alone: Serving, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, form: str
) -> None:
    observe = alone.http.app.middleware_stack  # type: ignore[attr-defined]
    observe.access = AccessLog(form)  # type: ignore[arg-type]
    with caplog.at_level(logging.INFO, "featurepack.access"):
        secret = {"X-Request-Id": "mine", "Authorization": "Bearer fp_secret"}
        reply = alone.http.get("/v1/packs/private?q=fp_secret", headers=secret)
    (line,) = capsys.readouterr().err.splitlines()
    assert "secret" not in line
    assert "private" not in line
    assert "mine" in line
    if form == "json":
        told = json.loads(line)
        assert told.pop("seconds") > 0
        assert told.pop("time").endswith("+00:00")
        assert told == {
            "level": "INFO",
            "logger": "featurepack.access",
            "message": "answered",
            "request_id": "mine",
            "method": "GET",
            "route": "/v1/packs/{pack_id}",
            "status": 404,
            "bytes": len(reply.content),
        }


def test_every_route_can_be_logged(alone: Serving) -> None:
    paths = alone.http.get("/openapi.json").json()["paths"]
    assert all(json.loads(f'"{path}"') == path for path in paths)


def test_a_line_is_one_line_of_json_whatever_is_in_it() -> None:
    try:
        raise ValueError("broken\nin two")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, 'a "%s"\n', ("b",), None)
        record.exc_info = (ValueError, error, error.__traceback__)
    record.fields = {"odd": {1, 2}, "job_id": "of this line"}
    with doing(Origin("r", "trace", "j", 3, "w")):
        text = JsonLines().format(record)
        assert "[request_id=r job_id=j attempt=3 worker=w]" in TextLines("%(message)s").format(
            record
        )
    told = json.loads(text)
    assert "\n" not in text
    assert "broken" in told["exception"]
    expected = {"message": 'a "b"\n', "request_id": "r", "attempt": 3, "worker": "w"}
    assert expected.items() <= told.items()
    assert told["job_id"] == "of this line"
    assert "traceparent" not in told


def test_only_two_formats_are_known() -> None:
    assert log_format({}) == "text"
    assert log_format({"FEATUREPACK_LOG_FORMAT": "json"}) == "json"
    with pytest.raises(ValueError, match="xml"):
        log_format({"FEATUREPACK_LOG_FORMAT": "xml"})
