"""Which rows: the service's choice and the client's own are the same, and are what NumPy says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from cache.store import Store
from featurepack import Client, FeaturepackError, InvalidRequest, NotFound, rows
from tests.manifests import plain_manifest
from tests.talking import BreakingLine, application, keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
MANIFEST = plain_manifest(50)
LABELS_N = MANIFEST.label_N
IDS = MANIFEST.row_id_N

CHOICES: list[tuple[dict[str, Any], list[int]]] = [
    ({}, list(range(50))),
    ({"split": "validation"}, list(range(40, 50))),
    ({"split": "validation", "start": 2, "stop": 9, "step": 3}, [42, 45, 48]),
    ({"step": 7}, list(range(0, 50, 7))),
    ({"start": 3, "stop": 3}, []),
    ({"label": 1}, np.flatnonzero(LABELS_N == 1).tolist()),
    ({"label": [MANIFEST.classes[0], 2]}, np.flatnonzero(LABELS_N != 1).tolist()),
    ({"label": []}, list(range(50))),
    ({"valid": True, "stop": 6}, [0, 1, 2, 4, 5]),
    ({"rows": [7, 3, 7, 0]}, [7, 3, 7, 0]),
    ({"rows": np.array([7, 3]), "valid": True}, [7]),
    ({"rows": [1, 45, 41], "split": "validation"}, [45, 41]),
    ({"rows": [4, 5, 6], "step": 2}, [4, 6]),
    ({"rows": []}, []),
    ({"row_id": [IDS[9], IDS[2]]}, [9, 2]),
    ({"row_id": IDS, "label": 0, "stop": 30}, np.flatnonzero(LABELS_N[:30] == 0).tolist()),
]

SAMPLES: list[dict[str, Any]] = [
    {"sample": 10},
    {"sample": 10, "seed": 1},
    {"sample": 50},
    {"sample": 0},
    {"sample": 3, "seed": 2**63 - 1, "label": [0, 1], "valid": True, "split": "train", "step": 2},
    {"sample": 5, "rows": list(range(49, -1, -1))},
    {"sample": 2, "row_id": IDS[:7]},
]

MISTAKES: list[tuple[dict[str, Any], type[FeaturepackError]]] = [
    ({"split": "test"}, NotFound),
    ({"label": "no such"}, NotFound),
    ({"label": [0, 3]}, NotFound),
    ({"row_id": ["no such"]}, NotFound),
    ({"start": 3, "stop": 2}, InvalidRequest),
    ({"stop": 51}, InvalidRequest),
    ({"start": -1}, InvalidRequest),
    ({"step": 0}, InvalidRequest),
    ({"rows": [50]}, InvalidRequest),
    ({"rows": [-1]}, InvalidRequest),
    ({"rows": [1], "row_id": [IDS[1]]}, InvalidRequest),
    ({"sample": 51}, InvalidRequest),
    ({"sample": -1}, InvalidRequest),
    ({"sample": 1, "seed": -1}, InvalidRequest),
]


@pytest.fixture
def service(store: Store) -> Iterator[TestClient]:
    with application(store) as http:
        yield http


@pytest.fixture
def features_ND(service: TestClient, store: Store) -> np.ndarray:
    return keep_pack(store, PACK)


@pytest.fixture(params=["wire", "cache"])
def client(request: pytest.FixtureRequest, service: TestClient, features_ND: np.ndarray) -> Client:
    if request.param == "wire":
        return Client(http=service, cache=False)
    client = Client(http=service)
    client.pack_features(PACK)  # from now on it is here
    return client


@pytest.mark.parametrize(("which", "expected"), CHOICES)
def test_rows_are_chosen(
    client: Client, features_ND: np.ndarray, which: dict[str, Any], expected: list[int]
) -> None:
    np.testing.assert_array_equal(client.pack_features(PACK, **which), features_ND[expected])
    np.testing.assert_array_equal(client.labels(PACK, **which), LABELS_N[expected])
    index = client.index(PACK, **which)
    assert index.row_N.tolist() == expected
    assert index.row_id_N == [IDS[row] for row in expected]
    assert index.row_hash_N == [MANIFEST.hash_NH[row].tobytes().hex() for row in expected]
    assert index.valid_N.tolist() == [row != 3 for row in expected]
    np.testing.assert_array_equal(index.label_N, LABELS_N[expected])


@pytest.mark.parametrize("which", SAMPLES)
def test_a_sample_is_the_same_wherever_it_is_drawn(
    service: TestClient, features_ND: np.ndarray, which: dict[str, Any]
) -> None:
    wire, local = Client(http=service, cache=False), Client(http=service)
    local.pack_features(PACK)
    sent = wire.pack_features(PACK, **which)
    np.testing.assert_array_equal(sent, local.pack_features(PACK, **which))
    np.testing.assert_array_equal(wire.labels(PACK, **which), local.labels(PACK, **which))
    index = local.index(PACK, **which)
    assert index.row_N.tolist() == wire.index(PACK, **which).row_N.tolist()
    np.testing.assert_array_equal(sent, features_ND[index.row_N])
    assert len(set(index.row_N.tolist())) == len(sent) == which["sample"]


def test_another_seed_is_another_sample(client: Client, features_ND: np.ndarray) -> None:
    drawn = [client.labels(PACK, sample=25, seed=seed).tolist() for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("which", "error"), MISTAKES)
def test_rows_that_cannot_be_are_refused(
    client: Client, which: dict[str, Any], error: type[FeaturepackError]
) -> None:
    for call in (client.pack_features, client.labels, client.index):
        with pytest.raises(error) as caught:
            call(PACK, **which)
        assert caught.value.remedy


def test_names_that_are_none_are_refused(client: Client) -> None:
    with pytest.raises(TypeError, match="lable"):
        client.pack_features(PACK, lable=1)  # type: ignore[call-arg]


def test_long_lists_are_several_requests_but_one_sample(
    service: TestClient, features_ND: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LISTED_ROWS", 7)
    local = Client(http=service)
    local.pack_features(PACK)
    line = BreakingLine(service, "/rows", [])
    wanted = list(range(49, -1, -1))
    for which in ({"rows": wanted}, {"rows": wanted, "label": 1}, {"rows": wanted, "sample": 20}):
        sent = line.client().pack_features(PACK, **which)  # type: ignore[arg-type]
        np.testing.assert_array_equal(sent, local.pack_features(PACK, **which))  # type: ignore[arg-type]
    assert len(line.requests) == 8 + 8 + 3


def test_steps_go_on_where_they_broke(service: TestClient, features_ND: np.ndarray) -> None:
    line = BreakingLine(service, "/features", [4 * 64 + 5])
    np.testing.assert_array_equal(
        line.client().pack_features(PACK, start=1, step=3), features_ND[1::3]
    )
    assert [request.url.params["start"] for request in line.requests] == ["1", "13"]


def test_ids_are_asked_for_once(
    service: TestClient, features_ND: np.ndarray, local_cache: Path
) -> None:
    line = BreakingLine(service, "/index", [], cache=True)
    client = line.client()
    client.pack_features(PACK)
    for row in (5, 9):
        np.testing.assert_array_equal(
            client.pack_features(PACK, row_id=[IDS[row]]), features_ND[[row]]
        )
    assert len(line.requests) == 1
