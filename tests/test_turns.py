"""Requests in turn: places, order, what gives a place up; and real workers between two teams."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from cache.errors import Busy
from cache.store import Store
from service import turns as turns_module
from service.presence import LATELY_SECONDS, Presence
from service.transfers import Transfers
from service.turns import ALONE, AMONG, Turns, in_turn, without_place
from tests.processes import ended, process, service, submit
from tests.teams import ADMIN_KEY, bearer
from tests.two_teams import archive


@pytest.fixture
def presence() -> Presence:
    found = Presence()
    found.note("owls")
    found.note("finches")
    return found


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 20))


async def nothing() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def quiet(_: Any) -> None:
    return None


class App:
    """Works until it is let go; remembers who began, in order, and how many worked at once."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.working = self.most = 0
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.began.append(scope["name"])
        self.working += 1
        self.most = max(self.most, self.working)
        await self.go.wait()
        self.working -= 1
        await send({"type": "http.response.start"})


def ask(turns: Turns, app: Any, team: str, name: str = "") -> asyncio.Task[None]:
    scope = {"name": name or team}
    return asyncio.create_task(in_turn(turns.of(team), app, scope, nothing, quiet))


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_flood_takes_its_own_places_and_no_others(presence: Presence) -> None:
    async def test() -> None:
        turns, app = Turns(presence), App()
        flood = [ask(turns, app, "owls", f"o{n}") for n in range(60)]
        await settle()
        assert app.working == AMONG
        other = ask(turns, app, "finches", "f")
        await settle()
        assert app.began[-1] == "f"
        app.go.set()
        await asyncio.gather(*flood, other)
        assert app.began == ["o0", "o1", "f", *(f"o{n}" for n in range(2, 60))]
        assert app.most <= AMONG + 1

    run(test())


def test_a_team_alone_has_more_places(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        presence = Presence()
        presence.note("owls")
        turns, app = Turns(presence), App()
        flood = [ask(turns, app, "owls") for _ in range(60)]
        await settle()
        assert app.working == ALONE
        presence.note("finches")
        app.go.set()
        await asyncio.gather(*flood)

    run(test())


def test_who_asked_lately_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("service.presence.time.monotonic", lambda: now)
    presence = Presence()
    presence.note("owls")
    presence.note("finches")
    assert presence.teams == 2
    now += LATELY_SECONDS
    presence.note("owls")
    assert presence.teams == 1


def test_what_waits_or_is_sent_needs_no_place(presence: Presence) -> None:
    """Else clients that wait for jobs, read slowly or send slowly would stop their own team."""

    async def test() -> None:
        turns, go = Turns(presence), asyncio.Event()

        async def waits(scope: Any, receive: Any, send: Any) -> None:
            async with without_place():
                await go.wait()
            await send({"type": "http.response.start"})

        async def sends(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start"})
            await go.wait()

        async def reads(scope: Any, receive: Any, send: Any) -> None:
            await receive()

        async def slowly() -> dict[str, Any]:
            await go.wait()
            return {"type": "http.request"}

        slow = [ask(turns, app, "owls") for app in (waits, sends) for _ in range(5)]
        slow += [
            asyncio.create_task(in_turn(turns.of("owls"), reads, {}, slowly, quiet))
            for _ in range(5)
        ]
        await settle()
        app = App()
        app.go.set()
        await ask(turns, app, "owls")
        assert not any(task.done() for task in slow)
        go.set()
        await asyncio.gather(*slow)
        assert turns._teams["owls"].working == 0

    run(test())


def test_who_leaves_the_line_keeps_no_place(presence: Presence) -> None:
    async def test() -> None:
        turns, app = Turns(presence), App()
        flood = [ask(turns, app, "owls", f"o{n}") for n in range(6)]
        await settle()
        flood[3].cancel()
        flood[0].cancel()
        await settle()
        assert app.began == ["o0", "o1", "o2"]
        app.go.set()
        await asyncio.gather(*flood, return_exceptions=True)
        assert app.began == ["o0", "o1", "o2", "o4", "o5"]
        assert turns._teams["owls"].working == 0

    run(test())


def test_who_leaves_the_line_as_a_place_is_given_is_passed_over(presence: Presence) -> None:
    async def test() -> None:
        turns, app = Turns(presence), App()
        flood = [ask(turns, app, "owls", f"o{n}") for n in range(4)]
        await settle()
        flood[0].cancel()
        flood[2].cancel()
        await settle()
        assert app.began == ["o0", "o1", "o3"]
        app.go.set()
        ended = await asyncio.gather(*flood, return_exceptions=True)
        assert [type(one) for one in ended[::2]] == [asyncio.CancelledError] * 2
        assert turns._teams["owls"].working == 0

    run(test())


def test_errors_end_a_turn(presence: Presence) -> None:
    async def test() -> None:
        turns = Turns(presence)

        async def fails(scope: Any, receive: Any, send: Any) -> None:
            raise ValueError

        failed = [ask(turns, fails, "owls") for _ in range(5)]
        found = await asyncio.gather(*failed, return_exceptions=True)
        assert all(isinstance(one, ValueError) for one in found)
        assert turns._teams["owls"].working == 0
        assert turns_module._turn.get() is None

    run(test())


def test_teams_share_the_places_of_transfers(presence: Presence) -> None:
    async def test() -> None:
        transfers = Transfers(8, 8, presence)
        held = [transfers.place(True, "owls") for _ in range(5)]
        for place in held[:4]:
            place.__enter__()
        with pytest.raises(Busy, match="4 large answers are being sent to team owls"):
            held[4].__enter__()
        with transfers.place(True, "finches"), transfers.place(False, "owls"):
            pass
        alone = Presence()
        alone.note("owls")
        transfers = Transfers(8, 8, alone)
        held = [transfers.place(True, "owls") for _ in range(7)]
        for place in held[:6]:
            place.__enter__()
        with pytest.raises(Busy):
            held[6].__enter__()
        with transfers.place(True, "finches"), transfers.place(True, None):  # who comes finds room
            pass

    run(test())


def test_a_single_job_passes_a_flood_of_another_team(store: Store, tmp_path: Path) -> None:
    """Real processes: 30 jobs of one team first, then one of another."""
    secret = tmp_path / "admin.key"
    secret.write_text(ADMIN_KEY)
    with (
        service(store, admin_key_file=str(secret)) as http,
        team_of(http, "flood") as flood,
        team_of(http, "other") as other,
    ):
        with process("worker", store):
            for seed, (team, name) in enumerate(((flood, "a"), (other, "b"))):
                files = {"file": ("images.zip", archive(seed))}
                made = team.post("/v1/datasets", data={"name": name}, files=files)
                assert made.status_code == 201, made.text
            pair = {"network": "squeezenet1_1", "transform": {"preset": "stretch", "size": 64}}
            first = [
                submit(flood, pair | {"dataset": "a", "weights": f"random:{seed}", "priority": 9})
                for seed in range(30)
            ]
            mine = submit(other, pair | {"dataset": "b", "weights": "random:0"})
            done = ended(other, mine["id"])
            assert done["state"] == "succeeded"
            found = [ended(flood, job["id"]) for job in first]
        assert all(job["state"] == "succeeded" for job in found)
        late = [job for job in found if job["started"] > mine["created"]]
        before = [job for job in late if job["started"] < done["started"]]
        assert len(late) > 10, "the flood was over too soon to tell"
        assert len(before) <= 1, "no more than what was claimed in the same instant"
        told = http.get("/v1/teams", headers=bearer(ADMIN_KEY)).json()["items"]
        assert {one["team"]: one["days"][0]["jobs"] for one in told} == {"flood": 31, "other": 2}


def team_of(http: httpx.Client, name: str) -> httpx.Client:
    body = {"team": name, "scope": "submit"}
    made = http.post("/v1/keys", json=body, headers=bearer(ADMIN_KEY))
    assert made.status_code == 201, made.text
    headers = bearer(made.json()["key"])
    return httpx.Client(base_url=http.base_url, headers=headers, timeout=70)
