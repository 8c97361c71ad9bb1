"""Slices over HTTP: each format and each selection against plain h5py, ETags, codings, mistakes."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import httpx
import numpy as np
import pyarrow as pa
import pytest
import zstandard

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import CorruptData
from cache.store import Store
from service import encode, reading
from tests.keeping import keep_real_pack
from tests.serving import Serving, serving

ROW_SHAPE = (3, 4, 5)
ROWS = 300
SHARES = ("label", "row_id", "row_hash", "valid")


@dataclass(frozen=True)
class Kept:
    """A pack and all that plain h5py reads of it."""

    served: Serving
    base: str
    features: np.ndarray
    labels: np.ndarray
    valid: np.ndarray
    row_hash: np.ndarray
    row_id: list[str]
    classes: list[str]

    def get(self, query: str, status: int = 200, **headers: str) -> httpx.Response:
        reply = self.served.http.get(f"{self.base}/{query}", headers=headers)
        assert reply.status_code == status, reply.text
        return reply

    def rows(self, query: str) -> np.ndarray:
        return np.load(io.BytesIO(self.get(f"features?format=npy&{query}").content))

    def post(self, body: dict[str, Any], query: str = "format=npy") -> np.ndarray:
        reply = self.served.http.post(f"{self.base}/rows?{query}", json=body)
        assert reply.status_code == 200, reply.text
        return np.load(io.BytesIO(reply.content))


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    store = Store(tmp_path_factory.mktemp("features")).create()
    with serving(store) as served:
        database = Database(store.database_url)
        pack_id, _ = keep_real_pack(Catalogue(database), store, rows=ROWS, row_shape=ROW_SHAPE)
        database.close()
        with h5py.File(store.pack(pack_id)) as file:
            found = Kept(
                served,
                f"/v1/packs/{pack_id}",
                file["features"][:],
                file["labels"][:],
                file["valid"][:].astype(bool),
                file["row_hash"][:],
                list(file["row_id"].asstr()[:]),
                json.loads(file.attrs["classes"]),
            )
        yield found


@pytest.fixture(params=["one piece", "many pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything once as small answers are sent, once as large ones are."""
    if request.param == "many pieces":
        monkeypatch.setattr(reading, "PIECE_BYTES", 720)  # three rows
        monkeypatch.setattr(reading, "SMALL_ROW_BYTES", 0)
        monkeypatch.setattr("service.sending.LARGE_BYTES", 0)


# Formats

CHOICES = {
    "": np.arange(ROWS),
    "start=3&stop=50": np.arange(3, 50),
    "start=3&stop=50&step=7": np.arange(3, 50, 7),
    "start=5&stop=5": np.arange(0),
    "sample=40&seed=3": None,
}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("query", CHOICES)
def test_every_format_holds_the_same_rows(kept: Kept, query: str) -> None:
    rows = CHOICES[query]
    if rows is None:
        rows = np.array([row["row"] for row in kept.get(f"index?{query}").json()["rows"]])
    wanted = kept.features[rows]
    raw = kept.get(f"features?format=raw&{query}")
    assert raw.headers["content-type"] == "application/octet-stream"
    assert raw.headers["x-featurepack-dtype"] == "<f4"
    shape = [int(side) for side in raw.headers["x-featurepack-shape"].split(",")]
    assert shape == [len(rows), *ROW_SHAPE]
    assert raw.content == wanted.tobytes()
    assert raw.headers["content-length"] == str(wanted.nbytes)
    np.testing.assert_array_equal(kept.rows(query), wanted)
    _check_json(kept, kept.get(f"features?format=json&{query}").json(), rows)
    _check_npz(kept, kept.get(f"features?format=npz&{query}"), rows)
    _check_arrow(kept, kept.get(f"features?format=arrow&{query}"), rows)


def _check_json(kept: Kept, found: Any, rows: np.ndarray) -> None:
    assert found["rows"] == rows.tolist()
    assert found["shape"] == [len(rows), *ROW_SHAPE]
    assert found["labels"] == kept.labels[rows].tolist()
    read = np.array(found["features"], np.float32).reshape(found["shape"])
    np.testing.assert_array_equal(read, kept.features[rows])


def _check_npz(kept: Kept, reply: httpx.Response, rows: np.ndarray) -> None:
    assert reply.headers["content-type"] == "application/x-npz"
    assert reply.headers["content-length"] == str(len(reply.content))
    with np.load(io.BytesIO(reply.content)) as found:
        assert sorted(found) == ["classes", "features", "labels", "row_id", "valid"]
        np.testing.assert_array_equal(found["features"], kept.features[rows])
        np.testing.assert_array_equal(found["labels"], kept.labels[rows])
        np.testing.assert_array_equal(found["valid"], kept.valid[rows])
        assert found["row_id"].tolist() == [kept.row_id[row] for row in rows]
        assert found["classes"].tolist() == kept.classes


def _check_arrow(kept: Kept, reply: httpx.Response, rows: np.ndarray) -> None:
    assert reply.headers["content-type"] == "application/vnd.apache.arrow.stream"
    assert reply.headers["content-length"] == str(len(reply.content))
    table = pa.ipc.open_stream(reply.content).read_all()
    field = table.schema.field("features")
    assert field.type == pa.list_(pa.float32(), int(np.prod(ROW_SHAPE)))
    assert tuple(json.loads(field.metadata[b"shape"])) == ROW_SHAPE
    assert json.loads(table.schema.metadata[b"classes"]) == kept.classes
    values = table["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    np.testing.assert_array_equal(values.reshape(-1, *ROW_SHAPE), kept.features[rows])
    shares = {name: table[name].to_pylist() for name in SHARES}
    assert shares == {
        "label": kept.labels[rows].tolist(),
        "row_id": [kept.row_id[row] for row in rows],
        "row_hash": [kept.row_hash[row].tobytes() for row in rows],
        "valid": kept.valid[rows].tolist(),
    }


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("query", ["", "label=1"])
def test_float16_on_the_way(kept: Kept, query: str) -> None:
    rows = kept.labels == 1 if query else slice(None)
    wanted = kept.features[rows].astype(np.float16)
    raw = kept.get(f"features?dtype=float16&{query}")
    assert raw.headers["x-featurepack-dtype"] == "<f2"
    assert raw.content == wanted.tobytes()
    found = kept.rows(f"dtype=float16&{query}")
    assert found.dtype == np.float16
    np.testing.assert_array_equal(found, wanted)
    table = pa.ipc.open_stream(kept.get(f"features?format=arrow&dtype=float16&{query}").content)
    values = table.read_all()["features"].combine_chunks().flatten().to_numpy(False)
    np.testing.assert_array_equal(values, wanted.ravel())
    npz = kept.get(f"features?format=npz&dtype=float16&{query}").content
    np.testing.assert_array_equal(np.load(io.BytesIO(npz))["features"], wanted)
    text = kept.get(f"features?format=json&dtype=float16&{query}").json()
    assert text["dtype"] == "float16"
    np.testing.assert_array_equal(np.array(text["features"], np.float16), wanted)


def test_a_large_archive_has_the_length_that_was_said(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beyond 2 GiB, where the ZIP format needs wider fields."""
    monkeypatch.setattr("zipfile.ZIP64_LIMIT", 1000)
    reply = kept.get("features?format=npz")
    assert int(reply.headers["content-length"]) == len(reply.content)
    np.testing.assert_array_equal(np.load(io.BytesIO(reply.content))["features"], kept.features)


def test_labels_and_index(kept: Kept) -> None:
    query = "split=train&step=3"
    rows = np.arange(0, 240, 3)
    raw = kept.get(f"labels?{query}")
    np.testing.assert_array_equal(np.frombuffer(raw.content, "<i8"), kept.labels[rows])
    npy = kept.get(f"labels?{query}", accept="application/x-npy")
    np.testing.assert_array_equal(np.load(io.BytesIO(npy.content)), kept.labels[rows])
    text = kept.get(f"labels?{query}&format=json").json()
    assert (text["rows"], text["labels"]) == (rows.tolist(), kept.labels[rows].tolist())
    index = kept.get(f"index?{query}").json()
    assert index["classes"] == kept.classes
    assert index["rows"][1] == {
        "row": 3,
        "row_id": kept.row_id[3],
        "label": int(kept.labels[3]),
        "row_hash": kept.row_hash[3].tobytes().hex(),
        "valid": False,
    }
    assert [row["row"] for row in index["rows"]] == rows.tolist()
    assert kept.get("index?stop=0").json()["rows"] == []
    assert "arrow" in kept.get("labels?format=arrow", 422).json()["detail"]


ACCEPTS = {
    "*/*": "raw",
    "application/*": "raw",
    "application/json": "json",
    "application/json, */*;q=0.5": "json",
    "application/json;q=0.2, application/x-npy;q=0.8": "npy",
    "application/x-npz, application/json": "npz",
    "application/octet-stream;q=0, */*": "npy",
    "text/html,application/xml;q=0.9,*/*;q=0.8": "raw",
    "Application/JSON; charset=utf-8": "json",
    "application/vnd.apache.arrow.stream": "arrow",
}
FIRST_BYTES = {"npy": b"\x93NUMPY", "json": b"{", "npz": b"PK", "arrow": b"\xff\xff\xff\xff"}


@pytest.mark.parametrize("accept", ACCEPTS)
def test_accept_chooses_the_format(kept: Kept, accept: str) -> None:
    content = kept.get("features?stop=1", accept=accept).content
    wanted = FIRST_BYTES.get(ACCEPTS[accept], kept.features[0].tobytes())
    assert content.startswith(wanted)
    assert kept.get("features?stop=1&format=json", accept=accept).json()["rows"] == [0]


# Codings


@pytest.mark.usefixtures("pieces")
def test_who_asks_for_nothing_else_gets_it_compressed(kept: Kept) -> None:
    plain = kept.features.tobytes()
    for asked, coding in {
        "zstd": "zstd",
        "gzip": "gzip",
        "gzip, zstd": "zstd",
        "zstd;q=0.5, gzip": "gzip",
        "zstd, identity;q=0": "zstd",
        "gzip, deflate": None,
        "deflate, gzip, br, zstd": None,
        "gzip, identity": None,
        "zstd;q=0": None,
        "*": None,
        "identity": None,
    }.items():
        with kept.served.http.stream(
            "GET", f"{kept.base}/features", headers={"accept-encoding": asked}
        ) as reply:
            sent = b"".join(reply.iter_raw())
        assert reply.headers.get("content-encoding") == coding, asked
        assert reply.headers["vary"] == "Accept, Accept-Encoding"
        if coding == "zstd":
            sent = zstandard.ZstdDecompressor().decompressobj().decompress(sent)
        elif coding == "gzip":
            sent = gzip.decompress(sent)
        assert sent == plain


# Selection


def expected(kept: Kept, chosen: dict[str, Any]) -> np.ndarray:
    """Row numbers by plain NumPy; the sample aside."""
    first, last = {"train": (0, 240), "validation": (240, 300)}.get(
        chosen.get("split", ""), (0, ROWS)
    )
    stop = last if "stop" not in chosen else first + chosen["stop"]
    rows = np.arange(ROWS)[first + chosen.get("start", 0) : stop : chosen.get("step", 1)]
    if "rows" in chosen:
        rows = np.array([row for row in chosen["rows"] if row in rows], int)
    if "label" in chosen:
        rows = rows[np.isin(kept.labels[rows], chosen["label"])]
    return rows[kept.valid[rows]] if chosen.get("valid") else rows


PARTS: dict[str, list[Any]] = {
    "split": [None, "train", "validation"],
    "start": [None, 2],
    "stop": [None, 55],
    "step": [None, 4],
    "label": [None, [1], [0, 2]],
    "valid": [None, True],
}


def test_selections_alone_and_together(kept: Kept) -> None:
    for values in product(*PARTS.values()):
        chosen = {name: v for name, v in zip(PARTS, values, strict=True) if v is not None}
        query = "&".join(
            f"{name}={str(one).lower()}"
            for name, value in chosen.items()
            for one in (value if isinstance(value, list) else [value])
        )
        np.testing.assert_array_equal(kept.rows(query), kept.features[expected(kept, chosen)])


def test_lists_of_rows_and_what_they_are_narrowed_by(kept: Kept) -> None:
    listed = [299, 3, 7, 7, 250, 0, 3, 41]
    ids = [kept.row_id[row] for row in listed]
    for chosen in (
        {},
        {"valid": True},
        {"split": "train"},
        {"label": [1, 2]},
        {"split": "train", "start": 2, "step": 5},
        {"split": "validation", "valid": True, "label": [0, 1, 2]},
    ):
        wanted = kept.features[expected(kept, chosen | {"rows": listed})]
        np.testing.assert_array_equal(kept.post(chosen | {"rows": listed}), wanted)
        np.testing.assert_array_equal(kept.post(chosen | {"row_id": ids}), wanted)
    assert kept.post({"rows": []}).shape == (0, *ROW_SHAPE)
    name = kept.classes[1]
    for label in (name, [name], 1, [1], "1"):
        np.testing.assert_array_equal(kept.post({"label": label}), kept.features[kept.labels == 1])
    np.testing.assert_array_equal(kept.rows(f"label={name}"), kept.features[kept.labels == 1])


def test_samples(kept: Kept) -> None:
    def sample(query: str) -> list[int]:
        rows = kept.get(f"labels?format=json&{query}").json()["rows"]
        assert rows == sorted(set(rows))
        return rows

    one = sample("sample=50")
    assert len(one) == 50
    assert one == sample("sample=50&seed=0")
    assert one != sample("sample=50&seed=1")
    assert sample("sample=300") == list(range(ROWS))
    assert sample("sample=0") == []
    assert set(sample("split=validation&label=1&sample=5")) <= set(
        expected(kept, {"split": "validation", "label": [1]}).tolist()
    )
    counts = np.bincount(
        [row for seed in range(200) for row in sample(f"sample=30&seed={seed}")], minlength=ROWS
    )
    assert counts.min() > 3, "every row is drawn about as often"
    assert counts.max() < 45
    body = {"rows": [9, 2, 5, 2], "sample": 2, "seed": 5}
    drawn = kept.post(body)
    assert len(drawn) == 2
    np.testing.assert_array_equal(drawn, kept.post(body))


# ETags


def test_slices_have_etags(kept: Kept) -> None:
    first = kept.get("features?split=train&stop=10")
    etag = first.headers["etag"]
    assert etag.startswith('"')
    for same in ("features?stop=10", "features?format=raw&start=0&stop=10"):
        assert kept.get(same).headers["etag"] == etag
    others = {
        kept.get(query).headers["etag"]
        for query in (
            "features?stop=11",
            "features?stop=10&format=npy",
            "features?stop=10&dtype=float16",
            "features?sample=10",
            "features?sample=10&seed=1",
            "labels?stop=10",
            "index?stop=10",
        )
    }
    coded = kept.get("features?stop=10", **{"accept-encoding": "gzip"}).headers["etag"]
    assert len({etag, coded, *others}) == 9
    for tag in (etag, f'"x", W/{etag}', "*"):
        again = kept.get("features?stop=10", 304, **{"if-none-match": tag})
        assert (again.content, again.headers["etag"]) == (b"", etag)
    assert kept.get("features?stop=10", **{"if-none-match": '"x"'}).content == first.content


@pytest.mark.parametrize("query", ["features?stop=5", "features?format=npz", "labels", "index"])
def test_head_answers_as_get_without_a_body(kept: Kept, query: str) -> None:
    head, get = kept.served.http.head(f"{kept.base}/{query}"), kept.get(query)
    assert head.content == b""
    if query == "index":
        del get.headers["content-length"]  # only known when it is made
    assert head.headers.pop("x-request-id") != get.headers.pop("x-request-id")
    assert head.headers == get.headers


# Mistakes


@pytest.mark.parametrize(
    ("query", "status", "named"),
    [
        ("splt=train", 422, "splt"),
        ("step=0", 422, "step"),
        ("step=-1", 422, "step"),
        ("sample=-1", 422, "sample"),
        ("sample=301", 422, "300 rows"),
        ("split=validation&sample=61", 422, "60 rows"),
        ("seed=-1", 422, "seed"),
        ("seed=99999999999999999999", 422, "seed"),
        ("valid=perhaps", 422, "valid"),
        ("label=0&label=nobody", 404, "nobody"),
        ("label=" + "9" * 5000, 404, "no class"),
        ("label=-1", 404, "-1"),
        ("dtype=int8", 422, "dtype"),
        ("format=", 422, "format"),
        ("stop=" + "9" * 30, 422, "300 rows"),
    ],
)
def test_mistakes_are_problems(kept: Kept, query: str, status: int, named: str) -> None:
    assert named in kept.served.get(f"{kept.base}/features?{query}", status)["detail"]


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        ({"rows": [0], "row_id": ["x"]}, 422, "both"),
        ({"row_id": ["nobody"]}, 404, "nobody"),
        ({"rows": [-1]}, 422, "row -1"),
        ({"rows": [10**30]}, 422, "out of range"),
        ({"rows": ["0"]}, 422, "rows"),
        ({"rows": [1.5]}, 422, "rows"),
        ({"row": [1]}, 422, "row"),
        ({"label": [True]}, 422, "label"),
        ({"row_id": ["x"] * 100_001}, 413, "100001"),
    ],
)
def test_mistakes_in_lists_are_problems(
    kept: Kept, body: dict[str, Any], status: int, named: str
) -> None:
    assert named in kept.served.post(f"{kept.base}/rows", body, status)["detail"]


def test_json_has_an_end(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.slices.MAX_JSON_VALUES", 100)
    problem = kept.served.get(f"{kept.base}/features?format=json", 413)
    assert "18000 values" in problem["detail"]
    assert kept.get("features?format=json&stop=1").json()["rows"] == [0]


def test_openapi_tells_of_all_this(kept: Kept) -> None:
    paths = kept.served.get("/openapi.json")["paths"]
    features = paths["/v1/packs/{pack_id}/features"]["get"]
    names = {parameter["name"] for parameter in features["parameters"]}
    assert names >= {*PARTS, "sample", "seed", "format", "dtype"}
    assert {"200", "304", "429"} <= features["responses"].keys()
    assert len(features["responses"]["200"]["content"]) == 5
    file = paths["/v1/packs/{pack_id}/file"]["get"]["responses"]
    assert {"200", "206", "304", "416", "429"} <= file.keys()


def test_npy_headers_are_those_of_numpy() -> None:
    array = np.zeros((3, 2), np.float16)
    whole = io.BytesIO()
    np.save(whole, array)
    assert encode.npy_header(array.shape, array.dtype) + array.tobytes() == whole.getvalue()


# reading


def test_what_is_in_memory_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(200)))
    with path.open("rb") as file:
        now = reading.OpenFile(file.fileno(), wait=False)
        if reading.NOWAIT is not None:
            assert bytes(now.read(7, 3)) == bytes(range(3, 10))
        with pytest.raises(BlockingIOError):
            now.read(7, 197)
        with pytest.raises(CorruptData, match="ends before byte 200"):
            reading.OpenFile(file.fileno()).read(7, 197)


@pytest.mark.parametrize("why", ["not in memory", "no such call", "unknown to the file system"])
def test_what_is_not_in_memory_is_read_by_a_thread(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    body = {"rows": [5, 1, 1, 200]}
    expected = kept.post(body)
    threads: list[int] = []

    def preadv(handle: int, buffers: Any, offset: int, flags: int = 0) -> int:
        if flags and why == "not in memory":
            raise BlockingIOError
        if flags:
            raise OSError(errno.EOPNOTSUPP, "")
        threads.append(threading.get_ident())
        return real(handle, buffers, offset)

    real = os.preadv
    monkeypatch.setattr("service.reading.os.preadv", preadv)
    if why == "no such call":
        monkeypatch.setattr(reading, "NOWAIT", None)
    monkeypatch.setattr(reading, "SMALL_ROW_BYTES", 0)
    assert kept.served.http.portal is not None
    loop = kept.served.http.portal.call(threading.get_ident)
    np.testing.assert_array_equal(kept.post(body), expected)
    assert threads
    assert loop not in threads
