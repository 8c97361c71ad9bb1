"""A service with keys, and what the teams of a test see of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from starlette.testclient import TestClient

from cache.store import Store
from tests.serving import Serving, serving

ADMIN_KEY = "the operator's own key of 40 letters......".replace(" ", "-")


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@contextmanager
def guarded(store: Store, **settings: Any) -> Iterator[Serving]:
    """A service that needs keys; its ``http`` comes in with the operator's."""
    with serving(store, admin_key=ADMIN_KEY, **settings) as service:
        service.http.headers.update(bearer(ADMIN_KEY))
        yield service


def key_of(service: Serving, team: str, scope: str = "submit", **more: Any) -> str:
    """A new key; ``service`` comes in as an admin."""
    made = service.post("/v1/keys", {"team": team, "scope": scope, **more}, 201)
    return str(made["key"])


def as_team(service: Serving, team: str, scope: str = "submit") -> Serving:
    """The same service, as a team comes in."""
    return holding(service, key_of(service, team, scope))


def holding(service: Serving, key: str | None) -> Serving:
    http = TestClient(service.http.app, raise_server_exceptions=False)
    http.portal = service.http.portal  # the application's event loop, which is running
    if key is not None:
        http.headers.update(bearer(key))
    return replace(service, http=http)
