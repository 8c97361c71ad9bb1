"""One stream of all jobs' changes, and the same request again."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from cache.database import Database
from cache.errors import Busy, InvalidRequest
from cache.job import Job, NewJob
from cache.job_changes import JobChanges
from cache.jobs import Jobs
from cache.leases import Leases
from cache.sight import EVERYTHING, UNOWNED
from cache.store import Store
from service import news as news_module
from service.__main__ import GRACE_SECONDS
from service.news import Event, News
from tests.live import live
from tests.processes import free_port, process, wait_until
from tests.serving import PAIR, Serving, images, serving, wait, zipped
from worker.rate_history import MOST, RateHistory


def states(jobs: list[Job]) -> dict[str, str]:
    return {job.key: job.state for job in jobs}


def put(database: Database, key: str, kind: str = "head") -> Job:
    return Jobs(database).enqueue(NewJob(kind, key, {}, UNOWNED))


def end(database: Database, kind: str = "head") -> None:
    (job,) = Leases(database).claim("w", [kind], 30)
    Leases(database).finish(job, lambda _: {})


# What changed


def test_changes_are_told_once(database: Database) -> None:
    changes = JobChanges(database, EVERYTHING)
    assert changes.look() == []
    put(database, "a")
    put(database, "b")
    assert states(changes.look()) == {"a": "queued", "b": "queued"}
    assert changes.look() == []
    end(database)
    assert states(changes.look()) == {"a": "succeeded"}
    assert states(changes.active) == {"b": "queued"}
    (job,) = Leases(database).claim("w", ["head"], 30)
    Leases(database).progress(job, {"rows_done": 5})
    (changed,) = changes.look()
    assert changed.progress == {"rows_done": 5}


def test_a_job_that_began_and_ended_between_two_looks_is_told(database: Database) -> None:
    changes = JobChanges(database, EVERYTHING)
    put(database, "first")
    changes.look()
    put(database, "quick", "predict")
    end(database, "predict")
    assert states(changes.look()) == {"quick": "succeeded"}
    assert changes.look() == []


def test_of_very_many_jobs_the_running_ones_are_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cache.job_changes.MOST", 3)
    for number in range(5):
        put(database, str(number))
    put(database, "running", "extract")
    Leases(database).claim("w", ["extract"], 30)
    changes = JobChanges(database, EVERYTHING)
    assert states(changes.look()) == {"running": "running", "0": "queued", "1": "queued"}


# Listeners


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "LOOK_SECONDS", 0.02)


async def heard(stream: AsyncIterator[Event], until: str = "ready") -> list[Event]:
    """Up to the first event of a kind, or about a job in a state."""
    found: list[Event] = []
    async with asyncio.timeout(10):
        async for event in stream:
            found.append(event)
            if event.kind == until or f'"state":"{until}"' in event.data:
                break
    return found


def kinds(events: list[Event]) -> list[str]:
    return [event.kind for event in events]


@pytest.mark.usefixtures("quick")
def test_listeners_hear_the_same_and_what_they_missed(database: Database) -> None:
    put(database, "a")

    async def scenario() -> None:
        news = News(database, EVERYTHING)
        async with aclosing(news.listen(None)) as one, aclosing(news.listen(None)) as two:
            assert kinds(await heard(one)) == kinds(await heard(two)) == ["job", "ready"]
            end(database)
            last = (await heard(one, "succeeded"))[-1]
            assert (await heard(two, "succeeded"))[-1] == last
        put(database, "b")
        async with aclosing(news.listen(last.id)) as again:
            (missed,) = await heard(again, "queued")
        assert json.loads(missed.data)["id"] != json.loads(last.data)["id"]
        async with aclosing(news.listen("another-7")) as stranger:
            assert kinds(await heard(stranger)) == ["reset", "job", "ready"]
        news.close()

    asyncio.run(scenario())


@pytest.mark.usefixtures("quick")
def test_who_missed_too_much_begins_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news_module, "KEPT", 2)

    async def scenario() -> None:
        news = News(database, EVERYTHING)
        async with aclosing(news.listen(None)) as slow, aclosing(news.listen(None)) as fast:
            await heard(slow)
            last = (await heard(fast))[-1]
            for number in range(4):
                put(database, str(number))
            await heard(fast, "queued")
            while news._number < 4:
                await asyncio.sleep(0.01)
            assert kinds(await heard(slow)) == ["reset", *4 * ["job"], "ready"]
        async with aclosing(news.listen(last.id)) as late:
            assert kinds(await heard(late))[0] == "reset"
        news.close()

    asyncio.run(scenario())


@pytest.mark.usefixtures("quick")
def test_nobody_looks_when_nobody_listens(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news_module, "LINGER_SECONDS", 0.05)

    async def scenario() -> None:
        news = News(database, EVERYTHING)
        async with aclosing(news.listen(None)) as stream:
            last = (await heard(stream))[-1]
        assert news._looking is not None
        async with asyncio.timeout(5):
            await news._looking
        async with aclosing(news.listen(last.id)) as stream:
            assert kinds(await heard(stream)) == ["reset", "ready"]
        news.close()

    asyncio.run(scenario())


def test_listeners_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(news_module, "LISTENERS", 0)
    with pytest.raises(Busy, match="listeners"):
        News(database, EVERYTHING).check_room()


def test_events_over_http(store: Store) -> None:
    with live(store) as line:
        database = Database(store.database_url)
        job = put(database, "a")
        with httpx.stream("GET", f"{line.url}/v1/events", timeout=10) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            lines = stream.iter_lines()
            events = [next_event(lines), next_event(lines)]
            assert [event["event"] for event in events] == ["job", "ready"]
            assert events[0]["data"]["id"] == job.id
            Jobs(database).cancel(job.id)
            told = next_event(lines)
            assert (told["event"], told["data"]["state"]) == ("job", "cancelled")
            assert told["id"] != events[1]["id"]
        database.close()


def next_event(lines: Iterator[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for line in lines:
        if not line and found:
            return found
        name, _, value = line.partition(": ")
        if name:
            found[name] = json.loads(value) if name == "data" else value
    raise AssertionError("the stream ended")


# Again


def test_a_job_that_failed_is_tried_again(store: Store) -> None:
    with serving(store) as service:
        database = Database(store.database_url)
        spec = {"pack_id": "r-d"}
        Jobs(database).enqueue(NewJob("extract", "extract:r-d", spec, UNOWNED, "t", priority=7))
        (job,) = Leases(database).claim("w", ["extract"], 30)
        path = f"/v1/jobs/{job.id}/retry"
        assert "is running" in service.post(path, None, 409)["detail"]
        Leases(database).fail(job, InvalidRequest("no", remedy="mend it"))
        again = service.post(f"{path}?submitter=me", None, 202)
        assert again["id"] != job.id
        assert (again["state"], again["priority"], again["submitters"]) == ("queued", 7, ["me"])
        assert service.post(path, None, 202)["id"] == again["id"], "one job"
        found = Jobs(database).get(again["id"], EVERYTHING)
        assert (found.spec, found.together, found.key) == (spec, "t", "extract:r-d")
        service.post("/v1/jobs/nope/retry", None, 404)
        database.close()


def test_a_job_whose_pack_is_there_by_now_answers_it(served: Serving, pack: dict[str, Any]) -> None:
    database = Database(served.store.database_url)
    key, spec = f"extract:{pack['pack_id']}", {"pack_id": pack["pack_id"]}
    job = Jobs(database).enqueue(NewJob("none", key, spec, UNOWNED))
    Jobs(database).cancel(job.id)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE jobs SET kind = 'extract' WHERE id = '{job.id}'")
    answer = served.http.post(f"/v1/jobs/{job.id}/retry")
    assert answer.status_code == 200, answer.text
    assert answer.json()["pack_id"] == pack["pack_id"]
    assert answer.headers["location"] == f"/v1/packs/{pack['pack_id']}"
    database.close()


def test_uploads_that_a_worker_deleted_must_be_sent_again(served: Serving) -> None:
    data = zipped({"train/a/1.png": images(1)[0], "x" * 300: b""})
    served.upload("/v1/datasets", 422, name="odd", file=("odd.zip", data[:-30]))
    (job,) = served.get("/v1/jobs?kind=ingest&state=failed&limit=1")["items"]
    problem = served.post(f"/v1/jobs/{job['id']}/retry", None, 409)
    assert "odd.zip" in problem["detail"]
    assert "upload" in problem["remedy"]


# Rates over time


def test_the_history_of_a_rate_stays_short() -> None:
    history = RateHistory()
    for tick in range(1, 4000):
        history.note(tick / 4, tick * (1 if tick < 2000 else 3))
    rates = history.rates()
    assert 20 < len(rates) <= MOST
    assert rates[0][1] == 4.0
    assert rates[-1][1] == 12.0
    assert rates[-1][0] > 900
    assert history.rates() == rates


def test_a_job_tells_its_history(served: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.rate_history.FIRST_SECONDS", 0.0)
    wait(served, PAIR | {"weights": "random:33"})
    job = served.get("/v1/jobs?kind=extract&limit=1")["items"][0]
    history = job["progress"]["history"]
    assert history
    assert all(seconds >= 0 and rate > 0 for seconds, rate in history)


def test_a_service_that_ends_does_not_wait_for_its_listeners(store: Store) -> None:
    port = free_port()
    with process("service", store, "--port", str(port)) as running:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), what="the service")
        with httpx.stream("GET", f"{url}/v1/events", timeout=10) as stream:
            lines = stream.iter_lines()
            assert next_event(lines)["event"] == "ready"
            began = time.monotonic()
            running.send_signal(signal.SIGTERM)
            assert list(lines) == [], "a whole answer, no broken one"
        assert time.monotonic() - began < GRACE_SECONDS - 2
        assert running.wait(10) == 0


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False
