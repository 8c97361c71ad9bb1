"""Lists of packs, totals and bulk changes over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.job import NewJob
from cache.jobs import Jobs
from cache.leases import Leases
from cache.rows import HeadRow
from cache.sight import UNOWNED
from cache.store import Store
from tests.keeping import keep_real_pack
from tests.serving import Serving, serving
from tests.test_catalogue import pack_row


@pytest.fixture
def empty(store: Store) -> Iterator[Serving]:
    """A service of its own, without a worker and without packs."""
    with serving(store) as service:
        yield service


@pytest.fixture
def catalogue(empty: Serving) -> Iterator[Catalogue]:
    database = Database(empty.store.database_url)
    yield Catalogue(database)
    database.close()


def add(catalogue: Catalogue, pack_id: str, hits: int = 0, **changes: Any) -> None:
    with catalogue.database.write() as connection:
        catalogue.add_pack(connection, pack_row(pack_id, hits=hits, **changes))


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["pack_id"] for item in answer["items"]]


def test_a_list_is_searched_sorted_and_counted(empty: Serving, catalogue: Catalogue) -> None:
    recipe = {"tap": {"layer": "features", "pool": "avg"}}
    for number in range(5):
        add(catalogue, f"p{number}", hits=number % 3, recipe=recipe)
    add(catalogue, "other", network="vgg16")
    head = HeadRow("h", "p1", "ridge", {}, {"validation_accuracy": 0.75})
    with catalogue.database.write() as connection:
        catalogue.add_head(connection, head)
    first = empty.get("/v1/packs?q=RESNET&sort=hits&order=asc&limit=3")
    assert (ids(first), first["total"]) == (["p0", "p3", "p1"], 5)
    rest = empty.get(f"/v1/packs?q=resnet&sort=hits&order=asc&cursor={first['next_cursor']}")
    assert (ids(rest), rest["next_cursor"]) == (["p4", "p2"], None)
    best = empty.get("/v1/packs?sort=accuracy")["items"][0]
    assert best["best_head"] == {"head_id": "h", "method": "ridge", "accuracy": 0.75}
    assert (best["tap"], best["health"]) == ("features:avg", "sound")
    assert empty.get("/v1/packs?tap=features:avg&health=damaged")["total"] == 0
    assert ids(empty.get("/v1/packs?pinned=false&network=vgg16")) == ["other"]
    whole = empty.get("/v1/packs/p1")
    assert whole["tap"] == "features:avg"
    details = {"recipe", "dataset_info", "classes", "invalid_rows", "provenance"}
    assert set(whole) - set(best) == details
    assert set(best) - set(whole) == {"best_head"}
    empty.get("/v1/packs?sort=etag", 422)
    wrong = empty.get(f"/v1/packs?sort=rows&cursor={first['next_cursor']}", 422)
    assert "same sort" in wrong["remedy"]


def test_an_empty_store_has_an_overview(empty: Serving) -> None:
    answer = empty.get("/v1/overview")
    assert (answer["packs"], answer["bytes"], answer["hit_rate"]) == (0, 0, None)
    assert answer["workers"] == []
    assert set(answer["jobs"].values()) == {0}


def test_the_overview_says_what_was_saved(empty: Serving, catalogue: Catalogue) -> None:
    rate = {"images_per_second": 10.0}
    add(catalogue, "1", hits=3, rows=200, bytes=70, provenance=rate | {"rows_copied": 50})
    add(catalogue, "2", hits=1, rows=200, bytes=30, recipe_id="unknown rate")
    jobs, leases = Jobs(catalogue.database), Leases(catalogue.database)
    for number in range(4):
        jobs.enqueue(NewJob("extract", f"e{number}", {"pack_id": f"p{number}"}, UNOWNED))
    jobs.enqueue(NewJob("head", "h", {}, UNOWNED))
    catalogue.worker_seen("idle", "cpu", "m", 500)
    catalogue.worker_seen("busy", "cuda:0", "m", 400)
    (job,) = leases.claim("busy", ["extract"], 30)
    leases.progress(job, {"rows_done": 7})
    answer = empty.get("/v1/overview")
    assert (answer["packs"], answer["rows"], answer["bytes"]) == (2, 400, 100)
    assert answer["byte_limit"] == 400
    assert (answer["hits"], answer["extractions"], answer["hit_rate"]) == (4, 4, 0.5)
    assert answer["seconds_saved"] == {"hits": 60.0, "row_reuse": 5.0, "total": 65.0}
    assert answer["rows_reused"] == 50
    assert answer["jobs"]["queued"] == 4
    assert answer["jobs"]["running"] == 1
    workers = {worker["worker"]: worker for worker in answer["workers"]}
    assert workers["idle"]["jobs"] == []
    assert workers["busy"]["jobs"] == [
        {"id": job.id, "kind": "extract", "pack_id": "p0", "progress": {"rows_done": 7}}
    ]


def test_many_packs_are_deleted_and_each_is_answered(empty: Serving, catalogue: Catalogue) -> None:
    kept = [keep_real_pack(catalogue, empty.store, seed=seed)[0] for seed in range(3)]
    body = {"pack_ids": [kept[0], "nope", kept[2], kept[0]]}
    items = empty.post("/v1/packs/delete", body)["items"]
    assert [item["pack_id"] for item in items] == body["pack_ids"]
    assert [item["done"] for item in items] == [True, False, True, False]
    assert items[0]["problem"] is None
    assert items[1]["problem"]["status"] == 404
    assert "GET /v1/packs" in items[1]["problem"]["remedy"]
    assert ids(empty.get("/v1/packs")) == [kept[1]]
    assert not empty.store.pack(kept[0]).exists()


def test_many_packs_are_pinned(empty: Serving, catalogue: Catalogue) -> None:
    for pack_id in ("1", "2", "3"):
        add(catalogue, pack_id)
    items = empty.post("/v1/packs/pin", {"pack_ids": ["1", "nope", "3"]})["items"]
    assert [item["done"] for item in items] == [True, False, True]
    assert sorted(ids(empty.get("/v1/packs?pinned=true"))) == ["1", "3"]
    empty.post("/v1/packs/pin", {"pack_ids": ["1"], "pinned": False})
    assert ids(empty.get("/v1/packs?pinned=true")) == ["3"]


@pytest.mark.parametrize("body", [{}, {"pack_ids": []}, {"pack_ids": ["x"] * 501}, {"ids": ["x"]}])
def test_wrong_bulk_requests(empty: Serving, body: dict[str, Any]) -> None:
    empty.post("/v1/packs/delete", body, 422)
