"""Who wrote what: noted for each write, and for nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from cache.audit import Audit, Write
from cache.database import Database
from cache.errors import Unavailable
from cache.store import Store
from tests.serving import Serving, serving
from worker.upkeep import AUDIT_SECONDS

WRITE = Write("blue", "0a1b2c3d", "10.0.0.7", "r-1", "DELETE", "/v1/packs/a-b", 204, [])


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with serving(store) as found:
        yield found


def writes(service: Serving, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = service.get("/v1/audit", params=query)["items"]
    return found


def test_writes_are_noted_and_reads_are_not(service: Serving) -> None:
    service.get("/v1/packs")
    service.post("/v1/packs/x-y/rows", {"rows": [1]}, 404)
    service.post("/v1/jobs/estimate", {"network": "resnet18", "dataset": "none"}, 404)
    assert writes(service) == []
    response = service.http.delete("/v1/packs/x-y", headers={"X-Request-ID": "mine"})
    assert response.status_code == 404
    (write,) = writes(service)
    assert (write["method"], write["path"], write["status"]) == ("DELETE", "/v1/packs/x-y", 404)
    assert write["request_id"] == "mine"
    assert write["address"] == "testclient"
    assert write["created"].endswith("Z")
    assert (write["team"], write["key_id"]) == (None, None)


def test_what_was_made_and_what_a_body_lists_is_named(service: Serving) -> None:
    source = {"kind": "builtin", "name": "digits"}
    headers = {"Prefer": "respond-async"}
    job = service.post("/v1/datasets", {"name": "d", "source": source}, 202, headers=headers)
    service.post("/v1/packs/delete", {"pack_ids": ["a-b", "c-d"]})
    deletion, registration = writes(service)
    assert registration["named"] == [f"/v1/jobs/{job['id']}"]
    assert deletion["named"] == ["a-b", "c-d"]
    assert writes(service, about="c-d") == [deletion]
    assert writes(service, about="%") == []
    assert writes(service, team="blue") == []


def test_nothing_is_noted_of_what_no_route_takes(service: Serving) -> None:
    service.http.post("/v1/nothing")
    service.http.put("/v1/jobs")
    assert [write["status"] for write in writes(service) if write["status"] != 405] == []


def test_rows_are_kept_on_both_databases_and_forgotten(database: Database) -> None:
    audit = Audit(database)
    for _ in range(3):
        audit.add(WRITE)
    page = audit.page(team="blue", key_id="0a1b2c3d", about="a-b", limit=2)
    assert len(page.items) == 2
    assert page.next_cursor
    assert len(audit.page(cursor=page.next_cursor, limit=2).items) == 1
    assert page.items[0].named == []
    audit.forget(AUDIT_SECONDS)
    assert len(audit.page().items) == 3
    audit.forget(-60)
    assert audit.page().items == []


def test_without_its_table_it_is_in_the_log(
    service: Serving, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def away(_self: Audit, _write: Write) -> None:
        raise Unavailable("the database is away", remedy="wait")

    monkeypatch.setattr(Audit, "add", away)
    with caplog.at_level(logging.ERROR, "featurepack.audit"):
        service.http.delete("/v1/packs/x-y")
    assert "'/v1/packs/x-y'" in caplog.text
