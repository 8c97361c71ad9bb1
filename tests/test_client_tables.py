"""Features as tables of Arrow's and pandas'."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from cache.store import Store
from featurepack import Client, CorruptData, InvalidRequest, Pack
from tests.manifests import plain_manifest
from tests.talking import BreakingLine, application, keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
MANIFEST = plain_manifest(50)


@pytest.fixture
def service(store: Store) -> Iterator[TestClient]:
    with application(store) as http:
        yield http


@pytest.fixture(autouse=True)
def features_ND(service: TestClient, store: Store, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """The features of the pack that is there whatever pair is asked for."""

    def extract(self: Client, *_: object, **__: object) -> Pack:
        return self.pack(PACK)

    monkeypatch.setattr(Client, "extract", extract)
    return keep_pack(store, PACK)


@pytest.mark.parametrize(
    ("which", "rows"),
    [
        ({}, range(50)),
        ({"rows": [7, 3]}, [7, 3]),
        ({"split": "validation", "step": 4}, [40, 44, 48]),
    ],
)
def test_a_table_has_all_of_a_row(
    service: TestClient, features_ND: np.ndarray, which: dict[str, Any], rows: list[int]
) -> None:
    rows = list(rows)
    table = Client(http=service).arrow("resnet18", "set", **which)
    X = table.column("features").combine_chunks().flatten().to_numpy().reshape(len(rows), -1)
    np.testing.assert_array_equal(X, features_ND[rows])
    assert table.column("label").to_pylist() == MANIFEST.label_N[rows].tolist()
    assert table.column("row_id").to_pylist() == [MANIFEST.row_id_N[row] for row in rows]
    assert table.column("valid").to_pylist() == [row != 3 for row in rows]
    assert table.column("row_hash").to_pylist() == [MANIFEST.hash_NH[row].tobytes() for row in rows]


def test_a_frame_has_an_array_in_each_row(service: TestClient, features_ND: np.ndarray) -> None:
    frame = Client(http=service).frame("resnet18", "set", "train", label=[0, 1])
    rows = np.flatnonzero(MANIFEST.label_N[:40] != 2)
    np.testing.assert_array_equal(np.stack(frame.features), features_ND[rows])
    assert frame.label.tolist() == MANIFEST.label_N[rows].tolist()
    assert frame.row_id.tolist() == [MANIFEST.row_id_N[row] for row in rows]
    assert frame.groupby("label").size().sum() == len(rows)


def test_a_table_whose_transfer_breaks_comes_anew(
    service: TestClient, features_ND: np.ndarray
) -> None:
    line = BreakingLine(service, "/features", [100])
    assert line.client().arrow("resnet18", "set").num_rows == 50


def test_an_answer_that_is_no_table_is_refused(
    service: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from featurepack import tables

    monkeypatch.setattr(tables, "ARROW", {"Accept": "application/octet-stream"})
    with pytest.raises(CorruptData, match="no Arrow stream"):
        Client(http=service).arrow("resnet18", "set")


@pytest.mark.parametrize(("library", "call"), [("pyarrow", "arrow"), ("pandas", "frame")])
def test_what_is_missing_is_named(
    service: TestClient, monkeypatch: pytest.MonkeyPatch, library: str, call: str
) -> None:
    found = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name == library:
            raise ImportError(name)
        return found(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(InvalidRequest, match=f"{library} is not installed") as caught:
        getattr(Client(http=service), call)("resnet18", "set")
    assert "pip install 'featurepack[" in caught.value.remedy
