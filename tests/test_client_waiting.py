"""The client waits: events, long polls, broken connections, time-outs."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from featurepack import Client, waiting
from featurepack.answers import Job
from featurepack.errors import (
    ConnectionFailed,
    CorruptData,
    FeaturepackError,
    JobCancelled,
    NotFound,
    TimedOut,
)
from featurepack.processes import Children, url_of, usable_port
from featurepack.transport import Retry
from tests.talking import ATTEMPTS, JOB, URL, Script, answer, events, problem, streaming, told

QUEUED = Job.of(JOB)
PING = b": ping\n\n"


class Clock:
    """Stands in for ``time``: it goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def pings(self, seconds: float) -> Iterator[bytes]:
        """Comments for ever."""
        while True:
            self.now += seconds
            yield PING

    def client(self, answers: Callable[[httpx.Request], httpx.Response]) -> Client:
        http = httpx.Client(base_url=URL, transport=httpx.MockTransport(answers))
        return Client(http=http, retry=Retry(sleep=self.sleep))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "time", clock)
    return clock


def refused(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def watched(client: Client, job: Job | str = QUEUED, **options: Any) -> list[str]:
    """The states that ``on_progress`` hears of."""
    states: list[str] = []
    client.wait(job, on_progress=lambda job: states.append(job.state), **options)
    return states


def test_events_tell_progress_and_end_with_the_job() -> None:
    stream = events(told(state="running"), PING, told(state="succeeded", attempts=ATTEMPTS))
    script = Script(stream)
    assert watched(script.client()) == ["queued", "running", "succeeded"]
    (request,) = script.requests
    assert request.url.path == "/v1/jobs/j1/events"
    assert request.headers["Accept"] == "text/event-stream"
    assert request.extensions["timeout"]["read"] == waiting.QUIET_SECONDS


def test_events_are_jobs_and_others_are_left_out() -> None:
    stream = events(b"event: news\ndata: {}\n\n", b"data: 1\n\n", told(), told(state="failed"))
    jobs = list(Script(stream).client().events("j1"))
    assert [job.state for job in jobs] == ["queued", "failed"]


def test_a_job_that_has_ended_is_not_asked_for_again() -> None:
    ended = JOB | {"state": "succeeded"}
    assert watched(Script(answer(ended)).client(), "j1") == ["succeeded"]
    assert watched(Script().client(), Job.of(ended)) == ["succeeded"]


def test_waiting_that_nobody_watches_is_a_long_poll() -> None:
    script = Script(answer(JOB | {"state": "running"}), answer(JOB | {"state": "succeeded"}))
    assert script.client().wait(QUEUED).state == "succeeded"
    assert [request.url.path for request in script.requests] == ["/v1/jobs/j1"] * 2
    assert script.requests[0].headers["Prefer"] == "wait=2"


@pytest.mark.parametrize(
    ("end", "cls"),
    [
        ({"state": "cancelled"}, JobCancelled),
        ({"state": "failed", "error": {"kind": "corrupt-data", "detail": "bad"}}, CorruptData),
        ({"state": "failed", "error": {"kind": "internal", "detail": "bad"}}, FeaturepackError),
        ({"state": "failed"}, FeaturepackError),
    ],
)
def test_a_job_that_did_not_succeed_is_an_error(end: dict[str, Any], cls: type) -> None:
    with pytest.raises(FeaturepackError) as caught:
        Script(answer(JOB | end)).client().wait("j1")
    assert type(caught.value) is cls
    with pytest.raises(FeaturepackError) as caught:
        watched(Script(events(told(**end))).client())
    assert type(caught.value) is cls


@pytest.mark.parametrize(
    "broken",
    [
        httpx.ConnectError("refused"),
        events(told(state="running"), httpx.ReadError("reset")),
        events(told(state="running"), httpx.ReadTimeout("silent")),
        events(told(state="running")[:50]),
        events(),
        problem("unavailable", 503),
        problem("quota-exceeded", 429),
        httpx.Response(502, html="<h1>nginx</h1>"),
    ],
    ids=["refused", "reset", "silent", "torn", "empty", "503", "429", "502"],
)
def test_events_that_break_are_taken_up_again(broken: httpx.Response | Exception) -> None:
    script = Script(broken, events(told(state="succeeded")))
    assert watched(script.client())[-1] == "succeeded"
    (pause,) = script.pauses
    assert 0.125 <= pause <= 0.25


def test_pauses_grow_until_the_service_is_back_and_heed_its_wish() -> None:
    later = problem("unavailable", 503, **{"Retry-After": "7"})
    failures = [httpx.ConnectError("refused")] * 3
    script = Script(*failures, later, events(told()), events(told(state="succeeded")))
    watched(script.client())
    first, second, third, asked, anew = script.pauses
    assert first <= 0.25 <= second <= 0.5 <= third <= 1.0
    assert asked == 7.0
    assert anew <= 0.25


def test_a_poll_outlasts_a_restart_but_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    away = [httpx.ConnectError("refused")] * 9
    script = Script(answer(JOB), *away, answer(JOB | {"state": "succeeded"}))
    assert script.client().wait("j1").state == "succeeded"
    monkeypatch.setattr(waiting, "OUTAGE_SECONDS", -1.0)
    with pytest.raises(ConnectionFailed):
        Script(answer(JOB), *away).client().wait("j1")


@pytest.mark.parametrize("on_progress", [None, lambda _: None], ids=["polls", "events"])
def test_a_service_that_stays_away_is_given_up(clock: Clock, on_progress: Any) -> None:
    with pytest.raises(ConnectionFailed, match="refused"):
        clock.client(refused).wait(QUEUED, on_progress=on_progress)
    assert 60 < sum(clock.pauses) < 100


@pytest.mark.parametrize("on_progress", [None, lambda _: None], ids=["polls", "events"])
def test_a_time_out_holds_while_the_service_is_away(clock: Clock, on_progress: Any) -> None:
    with pytest.raises(TimedOut, match="still queued after 10 s"):
        clock.client(refused).wait(QUEUED, on_progress=on_progress, timeout=10)
    assert sum(clock.pauses) == pytest.approx(10)


@pytest.mark.parametrize("on_progress", [None, lambda _: None], ids=["polls", "events"])
def test_no_time_at_all_is_one_look(on_progress: Any) -> None:
    with pytest.raises(TimedOut, match="still queued after 0 s"):
        Script(answer(JOB)).client().wait("j1", on_progress=on_progress, timeout=0)


def test_a_time_out_holds_while_the_line_only_trickles(clock: Clock) -> None:
    def trickling(_: httpx.Request) -> httpx.Response:
        return streaming(clock.pings(0.4))

    with pytest.raises(TimedOut):
        watched(clock.client(trickling), timeout=12)
    assert 1012 <= clock.now <= 1013.5


def test_a_line_that_only_trickles_is_made_anew(clock: Clock) -> None:
    trickling = itertools.chain([told(state="running")], clock.pings(2))
    streams = [events(told(state="succeeded")), streaming(trickling)]
    assert watched(clock.client(lambda _: streams.pop())) == ["queued", "running", "succeeded"]
    assert clock.now < 1010


def test_the_line_may_be_silent_for_no_longer_than_is_left() -> None:
    script = Script(events(told(state="succeeded")))
    watched(script.client(), timeout=2)
    assert 1.5 < script.requests[0].extensions["timeout"]["read"] <= 2


@pytest.mark.parametrize(
    ("response", "match"),
    [
        (httpx.Response(200, html="<h1>Sign in</h1>"), "no event stream"),
        (events(b"event: job\ndata: {\n\n"), "no JSON"),
        (events(b"event: job\ndata: []\n\n"), "no job"),
        (events(b"event: job\ndata: {}\n\n"), "has no 'id'"),
        (problem("not-found", 404), "not-found it is"),
    ],
)
def test_what_is_no_job_is_not_waited_for(response: httpx.Response, match: str) -> None:
    with pytest.raises(FeaturepackError, match=match):
        watched(Script(response).client())


def test_whoever_stops_listening_closes_the_line() -> None:
    class Stop(Exception):
        pass

    def stop(job: Job) -> None:
        if job.state == "running":
            raise Stop

    streams = [events(told(state="running"), told()) for _ in range(2)]
    with pytest.raises(Stop):
        Script(streams[0]).client().wait(QUEUED, on_progress=stop)
    next(told_jobs := Script(streams[1]).client().events("j1"))
    del told_jobs
    assert [stream.is_closed for stream in streams] == [True, True]


def test_an_unknown_job_has_no_events() -> None:
    with pytest.raises(NotFound):
        next(Script(problem("not-found", 404)).client().events("j1"))


def test_a_real_service_that_is_killed_and_comes_back(tmp_path: Path) -> None:
    port = usable_port("127.0.0.1", 0)
    url = url_of("127.0.0.1", port)
    environment = {"FEATUREPACK_STORE": str(tmp_path), "FEATUREPACK_DATABASE": ""}
    heard = threading.Event()
    ended: list[BaseException] = []

    def watch(job_id: str) -> None:
        with Client(url) as client:
            try:
                client.wait(job_id, on_progress=lambda _: heard.set(), timeout=60)
            except FeaturepackError as error:
                ended.append(error)

    def start(children: Children) -> None:
        children.start("service", "--host", "127.0.0.1", "--port", str(port))
        children.wait_for(f"{url}/healthz", 60)

    with Client(url) as client, Children(environment, logs=tmp_path) as first:
        start(first)
        body = {"name": "digits", "source": {"kind": "builtin", "name": "digits"}}
        headers = {"Prefer": "respond-async"}  # no worker: the job stays queued
        job_id = httpx.post(
            f"{url}/v1/datasets", json=body, headers=headers, trust_env=False
        ).json()["id"]
        watching = threading.Thread(target=watch, args=(job_id,))
        watching.start()
        assert heard.wait(30)
        (child,) = first.all
        child.process.kill()
        child.process.wait()
        heard.clear()
        with Children(environment, logs=tmp_path) as second:
            start(second)
            assert heard.wait(30)
            assert not ended
            assert client.cancel(job_id).state == "cancelled"
            watching.join(60)
    assert [type(error) for error in ended] == [JobCancelled]
