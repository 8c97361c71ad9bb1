"""Packs searched, filtered and sorted, on both databases."""

from __future__ import annotations

import random
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import CorruptData, InvalidRequest
from cache.pack_listing import PackFilter, PackSort
from cache.rows import HeadRow
from cache.sight import EVERYTHING
from cache.tables import packs
from tests.test_catalogue import pack_row

TAP = {"tap": {"layer": "features", "pool": "avg"}}


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    return Catalogue(database)


def add(catalogue: Catalogue, pack_id: str, **changes: Any) -> None:
    with catalogue.database.write() as connection:
        catalogue.add_pack(connection, pack_row(pack_id, **changes))


def score(catalogue: Catalogue, pack_id: str, head_id: str, accuracy: float | None) -> None:
    metrics = {} if accuracy is None else {"validation_accuracy": accuracy}
    with catalogue.database.write() as connection:
        catalogue.add_head(connection, HeadRow(head_id, pack_id, "linear", {}, metrics))


def found(catalogue: Catalogue, words: str = "", **filters: Any) -> set[str]:
    page = catalogue.packs(EVERYTHING, PackFilter(words, **filters))
    assert page.total == len(page.items)
    return {row.pack_id for row in page.items}


def test_words_are_looked_for_in_network_dataset_tap_and_id(catalogue: Catalogue) -> None:
    add(catalogue, "aaa-1", network="resnet50", dataset="Äpfel", recipe=TAP)
    add(catalogue, "bbb-2", network="resnet18", dataset="100%_sure")
    assert found(catalogue, "resnet") == {"aaa-1", "bbb-2"}
    assert found(catalogue, "RESNET äPFEL") == {"aaa-1"}
    assert found(catalogue, "features:avg") == {"aaa-1"}
    assert found(catalogue, "bb-2") == {"bbb-2"}
    assert found(catalogue, "0%_s") == {"bbb-2"}
    assert found(catalogue, "resnet%50") == set(), "no pattern but a word"
    assert found(catalogue, "50 18") == set()


def test_filters(catalogue: Catalogue) -> None:
    add(catalogue, "1", network="vgg16", recipe=TAP)
    add(catalogue, "2", network="vgg16", pinned=True)
    add(catalogue, "3", recipe_id="q")
    with catalogue.database.write() as connection:
        catalogue.mark_damaged(connection, "3", CorruptData("broken"))
    assert found(catalogue, network="vgg16") == {"1", "2"}
    assert found(catalogue, tap="features:avg") == {"1"}
    assert found(catalogue, pinned=True) == {"2"}
    assert found(catalogue, pinned=False) == {"1", "3"}
    assert found(catalogue, sound=False) == {"3"}
    assert found(catalogue, sound=True) == {"1", "2"}
    assert found(catalogue, "vgg", recipe_id="q") == set()


def test_a_pack_that_is_built_anew_is_found_by_what_it_is_now(catalogue: Catalogue) -> None:
    add(catalogue, "1", dataset="old")
    add(catalogue, "1", dataset="new")
    assert found(catalogue, "old") == set()
    assert found(catalogue, "new") == {"1"}


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", get_args(PackSort))
def test_pages_of_every_order_show_each_pack_once(
    catalogue: Catalogue, sort: PackSort, descending: bool
) -> None:
    draw = random.Random(1)
    expected: dict[str, Any] = {}
    for number in range(23):
        pack_id, value = f"p{number:02}", draw.randrange(4)
        named = {"network": f"net{value}"} if sort == "network" else {}
        named |= {"dataset": f"Ä{value}"} if sort == "dataset" else {}
        add(catalogue, pack_id, **named)
        if sort == "accuracy":
            score(catalogue, pack_id, f"h{number}", value / 7 if value else None)
            expected[pack_id] = value / 7 if value else -1
        elif sort in ("network", "dataset"):
            expected[pack_id] = named[sort]
        else:
            change = sa.update(packs).where(packs.c.pack_id == pack_id)
            with catalogue.database.write() as connection:
                connection.execute(change.values({sort: value}))
            expected[pack_id] = value
    ids, cursor = [], None
    while True:
        page = catalogue.packs(EVERYTHING, sort=sort, descending=descending, cursor=cursor, limit=5)
        assert page.total == 23
        ids += [row.pack_id for row in page.items]
        if (cursor := page.next_cursor) is None:
            break
    order = sorted(expected, key=lambda pack_id: (expected[pack_id], pack_id), reverse=descending)
    assert ids == order


def test_a_cursor_is_of_one_order(catalogue: Catalogue) -> None:
    for number in range(3):
        add(catalogue, str(number))
    cursor = catalogue.packs(EVERYTHING, limit=1).next_cursor
    for sort, descending in (("hits", True), ("network", True), ("created", False)):
        with pytest.raises(InvalidRequest, match="not one of ours"):
            catalogue.packs(EVERYTHING, sort=sort, descending=descending, cursor=cursor)  # type: ignore[arg-type]


def test_the_best_head_of_each_pack(catalogue: Catalogue) -> None:
    for pack_id in ("1", "2", "3"):
        add(catalogue, pack_id)
    for head_id, pack_id, accuracy in (
        ("a", "1", 0.5),
        ("b", "1", 0.9),
        ("c", "1", 0.9),
        ("d", "2", None),
    ):
        score(catalogue, pack_id, head_id, accuracy)
    best = catalogue.best_heads(["1", "2", "3"])
    assert {pack_id: head.head_id for pack_id, head in best.items()} == {"1": "b"}
    assert (best["1"].method, best["1"].accuracy) == ("linear", 0.9)
    assert catalogue.packs(EVERYTHING, sort="accuracy").items[0].pack_id == "1"
    catalogue.forget_head("b")
    assert catalogue.best_heads(["1"])["1"].head_id == "c"


def test_what_a_row_took_is_known_of_packs_that_copied_all(catalogue: Catalogue) -> None:
    def seconds(pack_id: str) -> float | None:
        query = sa.select(packs.c.row_seconds).where(packs.c.pack_id == pack_id)
        with catalogue.database.read() as connection:
            return connection.execute(query).scalar_one()

    add(catalogue, "1", provenance={"images_per_second": 50.0})
    add(catalogue, "2", provenance={"images_per_second": None, "rows_copied": 1})
    add(catalogue, "3", recipe_id="other", provenance={})
    assert (seconds("1"), seconds("2"), seconds("3")) == (0.02, 0.02, None)
