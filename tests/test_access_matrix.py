"""Every call × every kind of key × whose the thing is: exactly the allowed ones pass."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import anyio
import pytest
import sqlalchemy as sa

from cache.database import Database
from cache.store import Store
from cache.tables import keys
from service.access import need_of
from tests.serving import Serving, worker_running
from tests.teams import ADMIN_KEY, as_team, guarded, holding, key_of
from tests.two_teams import LINEAR, Things, make, register

REFUSED = (401, 403)


@dataclass(frozen=True)
class Call:
    """A call as the matrix makes it; ``{names}`` stand for ids of :class:`Things`.

    ``needs`` is the least scope. ``changes``: only the owner's team and admins may.
    """

    method: str
    path: str
    needs: Literal["nothing", "read", "submit", "admin"] = "read"
    body: Any = None
    form: dict[str, str] = field(default_factory=dict)
    changes: bool = False

    @property
    def names_a_thing(self) -> bool:
        return re.search(r"\{(?!network|team)[a-z_]+\}", f"{self.path} {self.body}") is not None

    @property
    def is_bulk(self) -> bool:
        return self.path in ("/v1/packs/delete", "/v1/packs/pin")


IDS = {
    "pack_id": "0123456789ab-0123456789ab",
    "head_id": "0" * 24,
    "job_id": "0" * 32,
    "study_id": "0" * 24,
    "advice_id": "0" * 24,
    "dataset": "nothing",
    "name": "nothing",
    "key_id": "0" * 8,
    "row": "0",
    "predict_job_id": "0" * 32,
}
"""Of things that are not there."""

PAIR = {"network": "squeezenet1_1", "dataset": "{dataset}", "weights": "random:0"}
STUDY = {
    "networks": [{"network": "squeezenet1_1", "weights": "random:7"}],
    "datasets": [{"dataset": "{dataset}", "view": {"validation": 0.5}}],
}
PACKS = {"pack_ids": ["{pack_id}"]}

CALLS = [
    Call("GET", "/healthz", "nothing"),
    Call("GET", "/readyz", "nothing"),
    Call("GET", "/docs", "nothing"),
    Call("GET", "/openapi.json", "nothing"),
    Call("GET", "/v1/session", "nothing"),
    Call("POST", "/v1/session", "nothing", {"key": ADMIN_KEY}),
    Call("DELETE", "/v1/session", "nothing"),
    Call("GET", "/v1/networks"),
    Call("GET", "/v1/networks/{network}"),
    Call("POST", "/v1/networks/{network}/classify", "submit", form={"x": "y"}),
    Call("GET", "/v1/datasets"),
    Call("POST", "/v1/datasets", "submit", {"name": "x", "source": {"kind": "nothing"}}),
    Call("GET", "/v1/datasets/{name}"),
    Call("GET", "/v1/weights"),
    Call("POST", "/v1/weights", "submit", form={"network": "resnet18"}),
    Call("GET", "/v1/packs"),
    Call("POST", "/v1/packs/import", "submit", form={"network": "x", "dataset": "y"}),
    Call("GET", "/v1/packs/{pack_id}"),
    Call("GET", "/v1/packs/{pack_id}/features"),
    Call("POST", "/v1/packs/{pack_id}/rows", "read", {"rows": [0]}),
    Call("GET", "/v1/packs/{pack_id}/labels"),
    Call("GET", "/v1/packs/{pack_id}/index"),
    Call("GET", "/v1/packs/{pack_id}/file"),
    Call("GET", "/v1/packs/{pack_id}/layout"),
    Call("GET", "/v1/packs/{pack_id}/statistics"),
    Call("GET", "/v1/packs/{pack_id}/map"),
    Call("GET", "/v1/packs/{pack_id}/rows/{row}/thumbnail"),
    Call("POST", "/v1/packs/{pack_id}/verify", "submit"),
    *(Call("GET", f"/h5/{{pack_id}}/{what}/") for what in ("attr", "meta", "paths")),
    Call("GET", "/h5/{pack_id}/data/"),
    Call("GET", "/h5/{pack_id}/stats/"),
    Call("GET", "/v1/heads"),
    Call("POST", "/v1/heads", "submit", {"pack_id": "{pack_id}"} | LINEAR),
    Call("GET", "/v1/heads/{head_id}"),
    Call("GET", "/v1/heads/{head_id}/weights"),
    Call("GET", "/v1/heads/{head_id}/onnx"),
    Call("POST", "/v1/heads/{head_id}/predict", "submit", {"rows": [0]}),
    Call("GET", "/v1/jobs"),
    Call("POST", "/v1/jobs", "submit", PAIR),
    Call("POST", "/v1/jobs/estimate", "read", PAIR),
    Call("GET", "/v1/jobs/{job_id}"),
    Call("GET", "/v1/jobs/{job_id}/events"),
    Call("GET", "/v1/studies"),
    Call("POST", "/v1/studies", "submit", STUDY),
    Call("GET", "/v1/studies/{study_id}"),
    Call("POST", "/v1/advice", "submit", PAIR | {"view": {"validation": 0.5}}),
    Call("GET", "/v1/advice/{advice_id}"),
    Call("GET", "/v1/overview"),
    Call("GET", "/v1/events"),
    Call("GET", "/metrics", "admin"),
    Call("GET", "/v1/audit", "admin"),
    Call("GET", "/v1/keys", "admin"),
    Call("POST", "/v1/keys", "admin", {"team": "x", "scope": "nothing"}),
    Call("DELETE", "/v1/keys/{key_id}", "admin"),
    Call("GET", "/v1/teams"),
    Call("GET", "/v1/teams/{team}"),
    Call("PUT", "/v1/teams/{team}", "admin", {"queued_jobs": -1}),
    # What changes a thing, and in the end takes it away.
    Call("PUT", "/v1/packs/{pack_id}/pin", "submit", changes=True),
    Call("DELETE", "/v1/packs/{pack_id}/pin", "submit", changes=True),
    Call("POST", "/v1/packs/pin", "submit", PACKS | {"pinned": False}, changes=True),
    Call("POST", "/v1/jobs/{job_id}/retry", "submit", changes=True),
    Call("POST", "/v1/jobs/{job_id}/cancel", "submit", changes=True),
    Call("POST", "/v1/studies/{study_id}/cancel", "submit", changes=True),
    Call("POST", "/v1/packs/delete", "submit", PACKS, changes=True),
    Call("DELETE", "/v1/packs/{pack_id}", "submit", changes=True),
    Call("DELETE", "/v1/datasets/{name}", "submit", changes=True),
]


@dataclass(frozen=True)
class World:
    """A service with a team ``owls`` that has everything, shared and private, and its keys."""

    service: Serving
    shared: Things
    private: Things
    keys: dict[str, str | None]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("guarded")
    store = Store(root / "store", None).create()
    with guarded(store) as service, worker_running(store):
        owls = as_team(service, "owls")
        register(owls, "park")
        register(owls, "nest", seed=1, private=True)
        shared, private = make(owls, "park"), make(owls, "nest")
        made = {scope: key_of(service, "finches", scope) for scope in ("read", "submit", "admin")}
        made |= {gone: key_of(service, "finches", "admin") for gone in ("revoked", "expired")}
        service.http.delete(f"/v1/keys/{made['revoked'].split('_')[1]}")
        _expire(store, made["expired"])
        others = {"owner": owls.http.headers["authorization"].split()[1], "none": None}
        wrong = f"{made['admin'][:-1]}{'x' if made['admin'][-1] != 'x' else 'y'}"
        yield World(service, shared, private, made | others | {"wrong": wrong})


def _expire(store: Store, key: str) -> None:
    database = Database(store.database_url)
    with database.write() as connection:
        mine = sa.update(keys).where(keys.c.key_id == key.split("_")[1])
        connection.execute(mine.values(expires=time.time() - 1))
    database.close()


def status_of(world: World, call: Call, who: str, things: dict[str, str]) -> tuple[int, Any]:
    """The answer's status and JSON. A stream is left when it has begun."""
    names = things | {"network": "squeezenet1_1", "team": "finches"}
    team = holding(world.service, world.keys[who])
    path = call.path.format(**names)
    if path == "/v1/events":
        return _begun(team, path), None
    body = _filled(call.body, names)
    files = {"nothing": b""} if call.form else None
    answer = team.http.request(call.method, path, json=body, data=call.form or None, files=files)
    is_json = answer.headers.get("content-type", "").endswith("json")
    return answer.status_code, answer.json() if is_json and answer.content else None


def _filled(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(each, names) for key, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, names) for each in value]
    return value.format(**names) if isinstance(value, str) else value


def _begun(team: Serving, path: str) -> int:
    """The status of an answer that has no end."""
    headers = [(k.lower().encode(), v.encode()) for k, v in team.http.headers.items()]
    scope = {"type": "http", "method": "GET", "path": path, "headers": headers, "query_string": b""}
    scope |= {"http_version": "1.1", "scheme": "http", "raw_path": path.encode(), "state": {}}

    async def ask() -> int:
        found: list[int] = []
        with anyio.CancelScope() as limit:

            async def receive() -> dict[str, Any]:
                await anyio.sleep_forever()
                raise AssertionError

            async def send(message: Any) -> None:
                if message["type"] == "http.response.start":
                    found.append(message["status"])
                    limit.cancel()

            await team.http.app(scope, receive, send)
        return found[0]

    assert team.http.portal is not None
    return team.http.portal.call(ask)


def things_of(things: Things) -> dict[str, str]:
    return asdict(things) | {"name": things.dataset, "row": "0", "key_id": "0" * 8}


def test_the_matrix_has_every_call(world: World) -> None:
    """A new route needs an entry, so that somebody thinks about who may call it."""
    told = world.service.get("/openapi.json")["paths"]
    known = {(call.method, call.path.replace("{network}", "{name}")) for call in CALLS}
    found = {(method.upper(), path) for path, methods in told.items() for method in methods}
    assert found <= known, found - known
    assert {(c.method, c.path) for c in CALLS if c.path in told} <= found
    for method, path in found:
        # Starlette's routes take a path with a line's end behind it.
        assert need_of(method, f"{path}\n") == need_of(method, path)
        need = need_of(method, path).replace("metrics", "admin")  # or a secret of its own
        assert need == next(
            c.needs
            for c in CALLS
            if (c.method, c.path.replace("{network}", "{name}")) == (method, path)
        )


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call.method} {call.path}")
def test_scopes(world: World, call: Call) -> None:
    order = ["nothing", "read", "submit", "admin"]
    for who in ("none", "wrong", "revoked", "expired"):
        status, body = status_of(world, call, who, IDS)
        if call.needs == "nothing":
            assert status not in REFUSED, who
        else:
            assert status == 401, who
            assert body is None or body["remedy"]
    for who in ("read", "submit", "admin"):
        status, _ = status_of(world, call, who, IDS)
        if order.index(who) >= order.index(call.needs):
            assert status not in REFUSED, (who, status)
            assert status < 500 or call.path == "/readyz"
        else:
            assert status == 403, (who, status)


OWNED = [call for call in CALLS if call.names_a_thing and "key_id" not in call.path]


REQUEST_ID = re.compile(r"'request_id': '[^']*'")
"""Every answer has its own."""


@pytest.mark.parametrize("call", OWNED, ids=lambda call: f"{call.method} {call.path}")
def test_private_things_are_not_there_for_another_team(world: World, call: Call) -> None:
    """Byte for byte the answer about a thing that never was, but for two ids."""
    there, body = status_of(world, call, "submit", things_of(world.private))
    nowhere, other = status_of(world, call, "submit", IDS)
    if call.is_bulk:
        assert [item["problem"]["status"] for item in body["items"]] == [404]
    else:
        assert there == nowhere == 404
    theirs, mine = (REQUEST_ID.sub("", str(found)) for found in (body, other))
    for name, value in things_of(world.private).items():
        if len(value) > 1:
            theirs = theirs.replace(value, IDS[name])
    assert theirs == mine


@pytest.mark.parametrize("call", OWNED, ids=lambda call: f"{call.method} {call.path}")
def test_shared_things_are_seen_by_all_and_changed_by_their_team(world: World, call: Call) -> None:
    status, body = status_of(world, call, "submit", things_of(world.shared))
    if call.is_bulk:
        assert [item["problem"]["status"] for item in body["items"]] == [403]
    elif call.changes:
        assert status == 403
        assert "owls" in body["detail"]
    else:
        assert status not in (*REFUSED, 404), body
        assert status < 500


@pytest.mark.parametrize("call", OWNED, ids=lambda call: f"{call.method} {call.path}")
def test_the_owner_and_admins_may_do_everything(world: World, call: Call) -> None:
    """The last tests of this file: of what they delete nothing is left, first for the team."""
    for things, who in ((world.shared, "admin"), (world.private, "owner")):
        status, body = status_of(world, call, who, things_of(things))
        assert status not in REFUSED, body
        assert status < 500
        if call.is_bulk:
            assert [item["done"] for item in body["items"]] == [True], body
        elif not (call.changes and call.method == "DELETE"):
            assert status != 404, body
