"""What every answer tells browsers, and under which names the service may be asked."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from cache.store import Store
from service.browsers import HEADERS, Browsers, hosts_for
from tests.serving import serving

PATHS = ("/", "/healthz", "/docs", "/openapi.json", "/v1/jobs", "/v1/nothing", "/assets/x.js")


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_has_safe_headers(store: Store, path: str) -> None:
    with serving(store) as service:
        for method in ("GET", "POST", "PROPFIND"):
            headers = service.http.request(method, path, headers={"Accept": "text/html"}).headers
            for name, value in HEADERS:
                assert headers.get_list(name.decode()) == [value.decode()], (method, name)
            (policy,) = headers.get_list("content-security-policy")
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "strict-transport-security" not in headers


def test_a_mistake_of_ours_has_them_too(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.routes.networks.networks.names", lambda: 1 / 0)
    with serving(store) as service:
        response = service.http.get("/v1/networks")
    assert response.status_code == 500
    assert response.headers["x-content-type-options"] == "nosniff"


def test_https_is_kept_only_where_it_is_used(store: Store) -> None:
    with serving(store) as service:
        response = service.http.get("https://testserver/healthz")
        assert response.headers["strict-transport-security"] == "max-age=31536000"


def test_the_reference_runs_only_its_own_scripts(store: Store) -> None:
    with serving(store) as service:
        policy = service.http.get("/docs").headers["content-security-policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "'self' 'sha256-" in scripts
    assert "unsafe" not in scripts


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000", "LOCALHOST:1"])
def test_its_own_names_are_answered(store: Store, host: str) -> None:
    with serving(store, hosts=hosts_for("127.0.0.1")) as service:
        assert service.http.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "localhost,evil"]
)
def test_another_name_is_refused(store: Store, host: str) -> None:
    with serving(store, hosts=hosts_for("127.0.0.1")) as service:
        response = service.http.delete("/v1/packs/a-b", headers={"Host": host})
        assert response.status_code == 403
        assert "FEATUREPACK_HOSTS" in response.json()["remedy"]
        assert response.headers["x-content-type-options"] == "nosniff"


def test_elsewhere_than_on_loopback_any_name_will_do() -> None:
    assert hosts_for("0.0.0.0") == ()
    assert hosts_for("::") == ()
    assert hosts_for("features.lab") == ()
    assert "localhost" in hosts_for("localhost")
    assert "127.0.0.2" in hosts_for("127.0.0.2")


def test_it_takes_a_few_microseconds() -> None:
    message: dict[str, Any] = {"type": "http.response.start", "status": 200}
    before = [(b"content-length", b"1"), (b"content-type", b"application/json")]
    scope = {"type": "http", "scheme": "http", "headers": [(b"host", b"localhost")] * 1}

    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send(message | {"headers": before})

    async def sink(_: Any) -> None:
        return

    async def seconds(app: Any) -> float:
        best = 1.0
        for _ in range(20):
            began = time.perf_counter()
            for _ in range(200):
                await app(scope, None, sink)
            best = min(best, (time.perf_counter() - began) / 200)
        return best

    async def extra() -> float:
        return await seconds(Browsers(bare, ("localhost",))) - await seconds(bare)

    assert asyncio.run(extra()) < 20e-6  # 3 µs on an idle machine
