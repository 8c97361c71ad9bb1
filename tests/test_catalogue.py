"""The catalogue on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import InvalidRequest, NotFound
from cache.pack_listing import PackFilter
from cache.publish import delete_pack
from cache.rows import DatasetRow, HeadRow, PackRow, WeightsRow
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import metadata
from tests.processes import ROOT


def dataset_row(name: str, dataset_id: str) -> DatasetRow:
    splits = {"train": [0, 2]}
    return DatasetRow(name, 0, dataset_id, {"kind": "builtin"}, ["a", "b"], splits, 2, 10)


def pack_row(pack_id: str, **changes: Any) -> PackRow:
    fields: dict[str, Any] = {
        "pack_id": pack_id,
        "recipe_id": "r",
        "dataset_id": "d",
        "network": "resnet50",
        "dataset": "birds",
        "imported": False,
        "recipe": {},
        "dataset_info": {},
        "classes": ["a"],
        "splits": {"train": [0, 1]},
        "rows": 1,
        "row_shape": [3],
        "dtype": "float32",
        "bytes": 12,
        "etag": "e",
        "invalid_rows": [],
        "provenance": {},
    }
    return PackRow(**(fields | changes))


@pytest.fixture
def catalogue(database: Database) -> Catalogue:
    return Catalogue(database)


def add(catalogue: Catalogue, row: DatasetRow | PackRow | HeadRow | WeightsRow) -> Any:
    method = {
        DatasetRow: catalogue.add_dataset,
        PackRow: catalogue.add_pack,
        HeadRow: catalogue.add_head,
        WeightsRow: catalogue.add_weights,
    }[type(row)]
    with catalogue.database.write() as connection:
        return method(connection, row)


def test_dataset_versions_count_up_only_when_the_content_changes(catalogue: Catalogue) -> None:
    assert add(catalogue, dataset_row("birds", "one")).version == 1
    assert add(catalogue, dataset_row("birds", "one")).version == 1
    assert add(catalogue, dataset_row("birds", "two")).version == 2
    assert catalogue.find_dataset("birds", EVERYTHING).dataset_id == "two"
    assert catalogue.find_dataset("birds@1", EVERYTHING).dataset_id == "one"
    assert [row.version for row in catalogue.dataset_versions("", "birds")] == [2, 1]
    assert [row.version for row in catalogue.datasets(EVERYTHING).items] == [2]


@pytest.mark.parametrize("reference", ["fish", "birds@9", "birds@x", "@1", ""])
def test_unknown_datasets(catalogue: Catalogue, reference: str) -> None:
    add(catalogue, dataset_row("birds", "one"))
    with pytest.raises(NotFound):
        catalogue.find_dataset(reference, EVERYTHING)


def test_deleting_a_dataset_names_the_content_that_nobody_else_has(catalogue: Catalogue) -> None:
    add(catalogue, dataset_row("birds", "one"))
    add(catalogue, dataset_row("birds", "two"))
    add(catalogue, dataset_row("copy", "two"))
    assert catalogue.delete_dataset("", "birds") == ["one"]
    assert catalogue.delete_dataset("", "copy") == ["two"]


def test_packs_are_found_filtered_hit_and_deleted(catalogue: Catalogue, store: Store) -> None:
    add(catalogue, pack_row("1"))
    store.pack("1").write_bytes(b"x" * 12)
    add(catalogue, pack_row("2", network="vgg16"))
    assert {row.pack_id for row in catalogue.packs(EVERYTHING).items} == {"1", "2"}
    assert [
        row.pack_id for row in catalogue.packs(EVERYTHING, PackFilter(network="vgg16")).items
    ] == ["2"]
    assert catalogue.packs(EVERYTHING, PackFilter(dataset="fish")).items == []
    with catalogue.database.write() as connection:
        assert catalogue.hit(connection, "nope", store, None) is None
        hit = catalogue.hit(connection, "1", store, None)
    assert hit is not None
    assert hit.hits == 1
    assert hit.last_used >= hit.created
    add(catalogue, HeadRow("h", "1", "lab", {}, {}))
    delete_pack(catalogue, store, "1")
    with pytest.raises(NotFound):
        catalogue.find_pack("1", EVERYTHING)
    with pytest.raises(NotFound):
        catalogue.find_head("h", EVERYTHING)


def test_a_pack_that_is_built_again_replaces_its_row(catalogue: Catalogue) -> None:
    add(catalogue, pack_row("1", etag="old"))
    add(catalogue, pack_row("1", etag="new"))
    assert catalogue.find_pack("1", EVERYTHING).etag == "new"


def test_weights_belong_to_a_network(catalogue: Catalogue) -> None:
    add(catalogue, WeightsRow("f" * 64, "vgg16", "mine.pth", 5, {"fc": "fc.weight"}))
    assert catalogue.find_weights("f" * 64, "vgg16").unavailable == {"fc": "fc.weight"}
    with pytest.raises(NotFound, match="for vgg19"):
        catalogue.find_weights("f" * 64, "vgg19")


def test_workers_come_and_go(catalogue: Catalogue) -> None:
    catalogue.worker_seen("w", "cpu")
    catalogue.worker_seen("w", "cpu")
    assert [worker.worker for worker in catalogue.live_workers(10)] == ["w"]
    assert catalogue.live_workers(-1) == []
    catalogue.worker_gone("w")
    assert catalogue.live_workers(10) == []


def test_migrations_make_exactly_the_tables_that_the_code_knows(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with database.read() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)
    assert differences == []


def go_back(database: Database, revision: str) -> None:
    """Undo the migrations after this one."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(ROOT / "cache" / "migrations"))
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, revision)


def test_heads_of_before_get_their_recipe_from_the_pack_that_is_there(catalogue: Catalogue) -> None:
    add(catalogue, pack_row("1", recipe={"network": "resnet50"}))
    add(catalogue, HeadRow("h", "1", "lab", {}, {}))
    add(catalogue, HeadRow("alone", "evicted", "lab", {}, {}))
    go_back(catalogue.database, "0003")
    catalogue.database.migrate()
    assert catalogue.find_head("h", EVERYTHING).recipe == {"network": "resnet50"}
    assert catalogue.find_head("alone", EVERYTHING).recipe is None


def test_packs_of_before_can_be_searched_and_sorted(catalogue: Catalogue) -> None:
    recipe = {"tap": {"layer": "features", "pool": "avg"}}
    rate = {"images_per_second": 4.0, "rows_copied": 2}
    add(catalogue, pack_row("1", dataset="Äpfel", recipe=recipe, provenance=rate))
    add(catalogue, pack_row("2", provenance={"images_per_second": None}))
    add(catalogue, pack_row("3", recipe_id="imported", recipe={"imported": True}))
    add(catalogue, HeadRow("h", "1", "lab", {}, {"validation_accuracy": 0.5}))
    before = rows_of(catalogue.database)
    go_back(catalogue.database, "0005")
    catalogue.database.migrate()
    assert rows_of(catalogue.database) == before
    assert [row.pack_id for row in catalogue.packs(EVERYTHING, PackFilter("äPFEL avg")).items] == [
        "1"
    ]
    assert catalogue.best_heads(["1"])["1"].accuracy == 0.5


def rows_of(database: Database) -> list[Any]:
    names = ("pack_id", "tap", "words", "rows_copied", "row_seconds")
    query = sa.select(*(metadata.tables["packs"].c[name] for name in names))
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(query.order_by("pack_id"))]


def test_an_unknown_database_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="mysql"):
        Database("mysql://localhost/x")
