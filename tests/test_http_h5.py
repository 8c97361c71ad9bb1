"""h5grove's endpoints: what an HDF5 viewer asks for, against plain h5py."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
import pytest

from cache.store import Store
from tests.serving import Serving, serving
from tests.talking import keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    store = Store(tmp_path_factory.mktemp("h5")).create()
    with serving(store) as served:
        keep_pack(store, PACK)
        yield served


@pytest.fixture
def file(served: Serving) -> Iterator[h5py.File]:
    with h5py.File(served.store.pack(PACK), locking=False) as file:  # as this process does
        yield file


def bytes_of(served: Serving, query: str) -> bytes:
    reply = served.http.get(f"/h5/{PACK}/data/?{query}")
    assert reply.status_code == 200, reply.text
    return reply.content


def test_what_there_is(served: Serving, file: h5py.File) -> None:
    root = served.get(f"/h5/{PACK}/meta/?path=/&file=whatever.h5")
    assert root["kind"] == "group"
    assert {child["name"] for child in root["children"]} == set(file)
    features = served.get(f"/h5/{PACK}/meta/?path=/features")
    assert (features["kind"], features["shape"]) == ("dataset", [50, 16])
    assert features["type"]["dtype"] == "<f4"
    attributes = served.get(f"/h5/{PACK}/attr/?path=/")
    assert attributes["shard_rows"] == file.attrs["shard_rows"]
    assert json.loads(attributes["splits"]) == json.loads(file.attrs["splits"])
    assert served.get(f"/h5/{PACK}/attr/?path=/&attr_keys=created") == {
        "created": file.attrs["created"]
    }
    assert {f"/{name}" for name in file} <= set(served.get(f"/h5/{PACK}/paths/"))


def test_values(served: Serving, file: h5py.File) -> None:
    features = file["features"][:]
    assert bytes_of(served, "path=/features&format=bin") == features.tobytes()
    assert (
        bytes_of(served, "path=/features&format=bin&selection=3,2:9") == features[3, 2:9].tobytes()
    )
    npy = bytes_of(served, "path=/features&format=npy&selection=:,1")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy)), features[:, 1])
    assert (
        served.get(f"/h5/{PACK}/data/?path=/labels&selection=2:5") == file["labels"][2:5].tolist()
    )
    assert served.get(f"/h5/{PACK}/data/?path=/row_id&selection=0") == file["row_id"].asstr()[0]
    flat = served.get(f"/h5/{PACK}/data/?path=/features&flatten=true&selection=:2&dtype=safe")
    np.testing.assert_array_equal(np.array(flat, np.float32), features[:2].ravel())
    stats = served.get(f"/h5/{PACK}/stats/?path=/features")
    assert stats["max"] == pytest.approx(float(features.max()))


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("meta/?path=/nothing", 404),
        ("meta/?path=../../featurepack.db", 404),
        ("meta/?path=%00", 422),
        ("data/?path=/", 422),
        ("stats/?path=/", 422),
        ("data/?path=/features&selection=99", 422),
        ("data/?path=/features&selection=1,2,3,4", 422),
        ("data/?path=/features&selection=a:b", 422),
        ("data/?path=/features&selection=:::", 422),
        ("data/?path=/features&format=xml", 422),
        ("data/?path=/features&dtype=int", 422),
        ("data/?path=/row_id&format=bin", 422),
        ("attr/?path=/&attr_keys=nothing", 404),
    ],
)
def test_mistakes_are_problems(served: Serving, query: str, status: int) -> None:
    served.get(f"/h5/{PACK}/{query}", status)


@pytest.mark.parametrize("pack_id", ["none", "..", "%2e%2e", "..%2fpacks%2f" + PACK, PACK + ".h5"])
def test_only_packs_are_reached(served: Serving, pack_id: str) -> None:
    reply = served.http.get(f"/h5/{pack_id}/meta/")
    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"


def test_nothing_is_written(served: Serving) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        reply = served.http.request(method, f"/h5/{PACK}/data/?path=/features")
        assert reply.status_code == 405


def test_no_answer_is_larger_than_memory_allows(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.routes.h5.MAX_BYTES", 16 * 4 * 10)
    for call in ("data", "stats"):
        problem = served.get(f"/h5/{PACK}/{call}/?path=/features&selection=0:11", 413)
        assert problem["value"] == 16 * 4 * 11
        assert "selection" in problem["remedy"]
    values: Any = served.get(f"/h5/{PACK}/data/?path=/features&selection=0:10")
    assert len(values) == 10
