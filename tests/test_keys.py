"""Keys: made, shown once, found, revoked; who comes in with what, and from where."""

from __future__ import annotations

import asyncio
import hmac
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from cache.database import Database
from cache.errors import Conflict, InvalidRequest, NotFound, Unauthorised
from cache.keys import Keys
from cache.store import Store
from cache.tables import keys as table
from featurepack import Client, Forbidden
from featurepack import InvalidRequest as ClientRefuses
from featurepack import Unauthorised as ClientUnauthorised
from featurepack.cli.main import main
from featurepack.key import chosen_key
from featurepack.transport import Retry
from service import keyring
from service.app import create_app
from service.caller import OPEN
from service.settings import ServiceSettings
from tests.serving import Serving, serving
from tests.teams import ADMIN_KEY, guarded, holding, key_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with guarded(store) as found:
        yield found


# In the table


def test_a_key_is_found_by_its_text_and_by_nothing_else(database: Database) -> None:
    ring = Keys(database)
    row, text = ring.create("owls", "submit", "cluster", admin_first=False)
    assert text.startswith(f"fp_{row.key_id}_")
    assert ring.find(text) == row
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    for other in (wrong, text + "x", text.upper(), "", "fp_", f"fp_{'0' * 8}_{'x' * 43}", "é"):
        assert ring.find(other) is None
    with database.read() as connection:
        kept = str(connection.execute(sa.select(table)).one())
    assert text.split("_", 2)[2] not in kept
    ring.revoke(row.key_id, last_admin_too=True)
    assert ring.find(text) is None
    with pytest.raises(NotFound):
        ring.revoke("00000000", last_admin_too=True)


def test_an_expired_key_is_none(database: Database) -> None:
    ring = Keys(database)
    _, text = ring.create("owls", "read", expires=time.time() + 60, admin_first=False)
    assert ring.find(text) is not None
    with database.write() as connection:
        connection.execute(sa.update(table).values(expires=time.time() - 1))
    assert ring.find(text) is None


def test_an_unknown_key_costs_what_a_wrong_one_does(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Keys(database)
    _, text = ring.create("owls", "read", admin_first=False)
    asked: list[str] = []
    compared: list[int] = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(len(b)) or real(a, b))
    sa.event.listen(database.engine, "before_cursor_execute", lambda *a: asked.append(a[2]))
    for shown in (f"{text[:-2]}xx", f"fp_{'0' * 8}_{'x' * 43}", "no key at all"):
        assert ring.find(shown) is None
    queries = [statement for statement in asked if "FROM keys" in statement]
    assert (len(queries), len(set(queries))) == (3, 1)
    assert compared == [32, 32, 32]


def test_the_last_key_of_an_admin_stays(database: Database) -> None:
    ring = Keys(database)
    with pytest.raises(Conflict, match="first key"):
        ring.create("owls", "submit", admin_first=True)
    first, _ = ring.create("ops", "admin", admin_first=True)
    ring.create("owls", "submit", admin_first=True)
    with pytest.raises(Conflict, match="last"):
        ring.revoke(first.key_id, last_admin_too=False)
    ring.create("ops", "admin", admin_first=True)
    assert ring.revoke(first.key_id, last_admin_too=False).revoked is not None


# Over HTTP


def test_open_access_ends_with_the_first_key(store: Store) -> None:
    with serving(store) as service:
        assert service.get("/v1/packs")["items"] == []
        service.post("/v1/keys", {"team": "owls", "scope": "submit"}, 409)
        made = service.post("/v1/keys", {"team": "ops", "scope": "admin"}, 201)
        assert holding(service, made["key"]).get("/v1/keys")["items"][0]["team"] == "ops"
        refused = service.http.get("/v1/packs")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "featurepack keys create" in refused.json()["remedy"]
    with serving(store) as again:
        again.get("/v1/packs", 401)


def test_another_process_hears_of_the_first_key_within_a_second(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(store) as service:
        service.get("/v1/packs")
        database = Database(store.database_url)
        Keys(database).create("ops", "admin", admin_first=True)
        database.close()
        monkeypatch.setattr(keyring, "REMEMBERED_SECONDS", 0.0)
        service.get("/v1/packs", 401)


def test_a_key_is_shown_once_and_listed_without_its_secret(service: Serving) -> None:
    body = {"team": "owls", "scope": "read", "note": "a cluster", "expires": "2999-01-01T00:00:00Z"}
    answer = service.http.post("/v1/keys", json=body)
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    listed = service.http.get("/v1/keys")
    assert made["key"] not in listed.text
    (row,) = listed.json()["items"]
    assert row == {name: value for name, value in made.items() if name != "key"}
    assert (row["last_used"], row["expires"][:4]) == (None, "2999")
    holding(service, made["key"]).get("/v1/packs")
    assert service.get("/v1/keys")["items"][0]["last_used"] is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"team": ""},
        {"team": "Owls"},
        {"team": "../x"},
        {"team": "a/b"},
        {"scope": "root"},
        {"expires": "2001-01-01T00:00:00Z"},
        {"expires": "2999-01-01T00:00:00"},
    ],
    ids=str,
)
def test_keys_that_cannot_be(service: Serving, changes: dict[str, str]) -> None:
    service.post("/v1/keys", {"team": "owls", "scope": "read"} | changes, 422)


def test_a_revoked_key_is_refused_at_once(service: Serving) -> None:
    key = key_of(service, "owls")
    owls = holding(service, key)
    owls.get("/v1/packs")
    assert service.http.delete(f"/v1/keys/{key.split('_')[1]}").json()["revoked"]
    owls.get("/v1/packs", 401)
    assert service.http.delete("/v1/keys/00000000").status_code == 404


def test_use_is_noted_once_a_minute(service: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    owls = holding(service, key_of(service, "owls"))
    noted: list[str] = []
    monkeypatch.setattr(Keys, "note_use", lambda _, key_id: noted.append(key_id))
    for _ in range(5):
        owls.get("/v1/packs")
    assert len(noted) == 1


def test_keys_hold_while_the_database_is_away(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cache.errors import Unavailable

    ring = service.http.app.state.featurepack.keyring  # type: ignore[attr-defined]
    key = key_of(service, "owls")
    caller = ring.find(key)

    def away(_self: Keys, _text: str) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(Keys, "find", away)
    assert ring.find(key) == caller
    with pytest.raises(Unavailable):
        ring.find("fp_never_seen")
    monkeypatch.setattr(keyring, "AWAY_SECONDS", -10.0)
    with pytest.raises(Unavailable):
        ring.find(key)


def test_a_body_is_not_read_before_it_is_known_who_sends_it(service: Serving) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("the body was read")

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/datasets", "query_string": b""}
    scope |= {"headers": [(b"content-type", b"multipart/form-data; boundary=x")], "state": {}}
    scope |= {"http_version": "1.1", "scheme": "http", "raw_path": b"/v1/datasets"}
    asyncio.run(service.http.app(scope, receive, send))
    assert sent[0]["status"] == 401


def test_a_path_with_a_lines_end_needs_what_it_needs_without(service: Serving) -> None:
    owls = holding(service, key_of(service, "owls"))
    assert owls.http.get("/v1/keys%0A").status_code == 403
    body = {"team": "owls", "scope": "admin"}
    assert owls.http.post("/v1/keys%0A", json=body).status_code == 403
    assert owls.http.get("/metrics%0A").status_code == 403
    assert holding(service, None).http.get("/metrics%0A").status_code == 401


@pytest.mark.parametrize("path", ["/v1", "/v1/nothing", "/v1/packs/", "/h5/x/meta/", "/metrics"])
def test_what_is_not_there_needs_a_key_too(service: Serving, path: str) -> None:
    nobody = holding(service, None)
    for method in ("GET", "HEAD", "OPTIONS", "PATCH", "POST"):
        assert nobody.http.request(method, path).status_code == 401


def test_the_page_needs_none_and_a_stale_cookie_does_not_keep_it_away(service: Serving) -> None:
    nobody = holding(service, None)
    nobody.http.cookies.set("featurepack_session", "fp_stale")
    for path in ("/", "/jobs/1", "/healthz"):
        answer = nobody.http.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == 200
    assert nobody.get("/v1/session")["scope"] is None
    nobody.get("/v1/packs", 401)


@pytest.mark.parametrize("shown", ["Basic YTpi", "Bearer", "Bearer ", "fp_x", "Bearer \xff"])
def test_authorization_that_is_no_key(service: Serving, shown: str) -> None:
    nobody = holding(service, None)
    headers = {"Authorization": shown.encode("latin-1")}
    assert nobody.http.get("/v1/packs", headers=headers).status_code == 401


# In a browser


def test_a_browser_signs_in_and_out(service: Serving) -> None:
    page = holding(service, None)
    key = key_of(service, "owls")
    own = {"Sec-Fetch-Site": "same-origin"}
    page.post("/v1/session", {"key": key[:-1]}, 401, headers=own)
    answer = page.http.post("/v1/session", json={"key": key}, headers=own)
    cookie = answer.headers["set-cookie"]
    for mark in ("HttpOnly", "SameSite=strict", "Path=/"):
        assert mark in cookie
    assert "Secure" not in cookie, "it came by http"
    assert answer.json() == {"object": "session", "team": "owls", "scope": "submit", "open": False}
    assert page.get("/v1/packs")["items"] == []
    assert page.get("/v1/session")["team"] == "owls"
    assert page.http.delete("/v1/session", headers=own).status_code == 204
    page.get("/v1/packs", 401)


def test_by_https_the_cookie_is_secure(service: Serving) -> None:
    page = TestClient(service.http.app, base_url="https://features.test")
    answer = page.post("/v1/session", json={"key": ADMIN_KEY})
    assert "Secure" in answer.headers["set-cookie"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://elsewhere.test"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://testserver"}, 422),
        ({"Sec-Fetch-Site": "same-origin"}, 422),
    ],
    ids=str,
)
def test_a_write_by_cookie_comes_from_our_own_page(
    service: Serving, headers: dict[str, str], status: int
) -> None:
    page = holding(service, None)
    page.http.cookies.set("featurepack_session", key_of(service, "owls"))
    page.post("/v1/datasets", {"name": "/"}, status, headers=headers)


def test_another_site_cannot_write_where_no_key_is_needed(store: Store) -> None:
    with serving(store) as service:
        for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "http://elsewhere.test"}):
            service.post("/v1/datasets", {"name": "/"}, 403, headers=headers)
        service.post("/v1/datasets", {"name": "/"}, 422)
        service.post("/v1/datasets", {"name": "/"}, 422, headers={"Origin": "http://testserver"})


# Who starts without keys


def settings(store: Store, **more: Any) -> ServiceSettings:
    return ServiceSettings(store=store, database_url=store.database_url, **more)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "features.test"])
def test_a_service_that_others_reach_needs_a_key_to_start(store: Store, host: str) -> None:
    with pytest.raises(Unauthorised, match="there is no key") as caught:
        create_app(settings(store, host=host))
    assert "FEATUREPACK_ADMIN_KEY_FILE" in caught.value.remedy
    app = create_app(settings(store, host=host, admin_key=ADMIN_KEY))
    app.state.featurepack.database.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_on_loopback_it_starts_without(store: Store, host: str) -> None:
    app = create_app(settings(store, host=host))
    assert app.state.featurepack.keyring.find(None) == OPEN
    app.state.featurepack.database.close()


def test_the_process_says_what_to_do(store: Store) -> None:
    command = [sys.executable, "-m", "service", "--host", "0.0.0.0", "--port", "0"]
    env = {"FEATUREPACK_STORE": str(store.root), "PATH": ""}
    ended = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert "FEATUREPACK_ADMIN_KEY_FILE" in ended.stderr


def test_the_operators_key_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "admin.key"
    env = {"FEATUREPACK_STORE": str(tmp_path), "FEATUREPACK_ADMIN_KEY_FILE": str(file)}
    for content in (None, "short", "two words " * 5, "é" * 40):
        if content is not None:
            file.write_text(content, "utf-8")
        with pytest.raises(InvalidRequest) as caught:
            ServiceSettings.from_env(env)
        assert content is None or content not in f"{caught.value} {caught.value.remedy}"
    file.write_text(f"{ADMIN_KEY}\n")
    read = ServiceSettings.from_env(env)
    assert read.admin_key == ADMIN_KEY
    assert ADMIN_KEY not in repr(read)


# The client and the command


def test_the_client_comes_in_with_its_key_and_shows_it_nobody(
    service: Serving, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    key = key_of(service, "owls")
    heard: list[str] = []

    def through(request: httpx.Request) -> httpx.Response:
        heard.append(request.headers.get("authorization", ""))
        passed = holding(service, None).http.request(
            request.method, request.url.path, headers=request.headers, content=request.read()
        )
        return httpx.Response(passed.status_code, content=passed.content, headers=passed.headers)

    real = httpx.Client
    line = httpx.MockTransport(through)
    monkeypatch.setattr(httpx, "Client", lambda **more: real(transport=line, **more))
    client = Client("http://features.test", key=key, cache=False, retry=Retry(times=0))
    assert client.packs() == []
    assert heard == [f"Bearer {key}"]
    with pytest.raises(Forbidden, match="'submit'") as caught:
        client.keys()
    told = f"{caught.value!r} {caught.value} {vars(caught.value)} {client!r} {vars(client)}"
    told += f" {client._transport.http.headers!r} {caplog.text}"
    assert key not in told
    wrong = Client("http://features.test", key="fp_wrong", cache=False, retry=Retry(times=0))
    with pytest.raises(ClientUnauthorised):
        wrong.packs()


def test_where_the_client_looks_for_its_key(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("of-the-file\n")
    env = {"FEATUREPACK_KEY_FILE": str(file)}
    assert chosen_key(None, {}) is None
    assert chosen_key(None, env) == "of-the-file"
    assert chosen_key(None, env | {"FEATUREPACK_KEY": "of-the-variable"}) == "of-the-variable"
    assert chosen_key("given", env) == "given"
    for wrong in ("two words", "line\nbreak", "", "é"):
        with pytest.raises(ClientRefuses) as caught:
            chosen_key(wrong, {})
        assert not wrong or wrong not in str(vars(caught.value))
    with pytest.raises(ClientRefuses, match="cannot be read"):
        chosen_key(None, {"FEATUREPACK_KEY_FILE": str(tmp_path / "none")})
    with pytest.raises(ClientRefuses, match="both"):
        Client(key="x", http=httpx.Client())


def test_keys_by_the_command(service: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str, key: str | None = ADMIN_KEY) -> tuple[int, str, str]:
        http = holding(service, key).http
        ended = main(arguments, connect=lambda _, submitter: Client(http=http, cache=False))
        out, err = capsys.readouterr()
        return ended, out, err

    status, out, err = run(
        "keys", "create", "--team", "owls", "--scope", "read", "--expires", "30d"
    )
    assert status == 0
    key = out.strip()
    assert "not shown again" in err
    assert key not in err
    assert holding(service, key).get("/v1/session")["team"] == "owls"
    status, out, _ = run("keys", "list")
    assert "owls" in out
    assert key not in out
    status, out, err = run("keys", "list", key=key)
    assert status == 1
    assert "'admin'" in err
    assert run("keys", "revoke", key.split("_")[1])[0] == 0
    status, _, err = run("packs", key=key)
    assert (status, "FEATUREPACK_KEY" in err) == (1, True)
    assert run("keys", "revoke", "00000000")[0] == 1
    for when in ("soon", "30", "2027-13-01"):
        with pytest.raises(SystemExit):
            run("keys", "create", "--team", "owls", "--scope", "read", "--expires", when)


def test_a_refusal_without_words_gets_some(capsys: pytest.CaptureFixture[str]) -> None:
    for status, words in ((401, "FEATUREPACK_KEY"), (403, "larger scope")):
        http = httpx.Client(
            base_url="http://features.test",
            transport=httpx.MockTransport(lambda _, status=status: httpx.Response(status)),
        )
        client = Client(http=http, cache=False, retry=Retry(times=0))
        assert main(["packs"], connect=lambda _, submitter, client=client: client) == 1
        assert words in capsys.readouterr().err


def test_the_operators_secret_opens_the_metrics_and_nothing_else(store: Store) -> None:
    secret = "m" * 32
    with guarded(store, metrics_key=secret) as service:
        scraper = holding(service, secret)
        assert scraper.http.get("/metrics").status_code not in (401, 403)
        scraper.get("/v1/packs", 401)
        owls = holding(service, key_of(service, "owls"))
        assert owls.http.get("/metrics").status_code == 403
        assert service.http.get("/metrics").status_code not in (401, 403)
