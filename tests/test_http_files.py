"""The file over HTTP: ranges and conditions as RFC 9110 has them, and where its arrays lie."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import h5py
import httpx
import numpy as np
import pytest
import xxhash

from cache.sight import EVERYTHING
from cache.store import Store
from tests.serving import Serving, serving
from tests.talking import keep_pack

PACK = "aaaaaaaaaaaa-bbbbbbbbbbbb"
FILE = f"/v1/packs/{PACK}/file"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    store = Store(tmp_path_factory.mktemp("files")).create()
    with serving(store) as served, pytest.MonkeyPatch.context() as patch:
        patch.setattr("service.reading.PIECE_BYTES", 300_000)
        patch.setattr("service.sending.LARGE_BYTES", 100_000)
        keep_pack(store, PACK, rows=5000, width=64)  # 1.5 MB
        yield served


@pytest.fixture(scope="module")
def whole(served: Serving) -> bytes:
    return served.store.pack(PACK).read_bytes()


def get(served: Serving, **headers: str) -> httpx.Response:
    return served.http.get(FILE, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_the_whole_file(served: Serving, whole: bytes) -> None:
    reply, head = get(served), served.http.head(FILE)
    assert reply.status_code == head.status_code == 200
    assert reply.content == whole
    assert head.content == b""
    assert head.headers.pop("x-request-id") != reply.headers.pop("x-request-id")
    assert head.headers == reply.headers
    assert reply.headers["content-length"] == str(len(whole))
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["etag"] == f'"{served.get(f"/v1/packs/{PACK}")["etag"]}"'
    name = f"resnet18_set_{PACK}.h5"
    assert reply.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert "content-encoding" not in get(served, accept_encoding="gzip").headers


# Ranges


def reference(header: str, size: int) -> Any:
    """200, 416, or the first byte and the one after the last: written apart from the service."""
    kind, equals, given = header.partition("=")
    if kind.lower() != "bytes" or not equals:
        return 200
    spans = []
    for spec in [part.strip(" \t") for part in given.split(",")]:
        if not spec:
            continue
        if re.fullmatch("-[0-9]+", spec):
            spans.append((max(size - int(spec[1:]), 0), size))
        elif re.fullmatch("[0-9]+-[0-9]*", spec):
            first, last = spec.split("-")
            if last and int(last) < int(first):
                return 200
            spans.append((int(first), min(size, int(last) + 1) if last else size))
        else:
            return 200
    if not spans:
        return 200
    there = [(start, stop) for start, stop in spans if start < stop]
    if not there:
        return 416
    return there[0] if len(there) == 1 else 200


def headers_to_try(size: int) -> Iterator[str]:
    """Legal and illegal ranges around all edges, and mangled ones."""
    random = np.random.default_rng(0)
    edges = [0, 1, 9, 4096, 300_000, 300_001, size - 1, size, size + 1, 2 * size, 10**25]
    for first in edges:
        yield f"bytes={first}-"
        yield f"bytes=-{first}"
        for last in random.choice(len(edges), 3):
            yield f"bytes={first}-{edges[last]}"
    yield from (
        *(
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=--1",
            "bytes=a-b",
            "bytes=1-b",
            "bytes=1",
            "=1-2",
        ),
        *("bytes=+1-2", "bytes=1-2-3", "bytes=0x1-2", "bytes 1-2", "byte=1-2", "rows=1-2", "-1"),
        *("bytes=1 -2", "bytes=1- 2", "bytes=5-4", "bytes=\u0661-2", "bytes=1-2;3-4", "BYTES=1-2"),
        *("bytes=1-2,", "bytes=,1-2", "bytes=,", "bytes= , 3-4 ,", "bytes=0-0,2-2", "bytes=0-1,x"),
        *(f"bytes={size}-,0-0", f"bytes={size}-,{size + 5}-", "bytes=007-008", "bytes=-000"),
        *("bytes=" + "9" * 3000 + "-", "bytes=-" + "9" * 3000, "bytes=5-4,0-1"),
    )
    letters = "0123456789-,= bytesx"
    for _ in range(250):
        text = "bytes=" + ",".join(
            "-".join(random.choice(["", str(random.integers(size))], 2))
            for _ in range(random.integers(1, 3))
        )
        for _ in range(random.integers(3)):
            at = random.integers(len(text))
            text = text[:at] + random.choice(list(letters)) + text[at + random.integers(2) :]
        yield text.strip()


def test_ranges_of_every_form(served: Serving, whole: bytes) -> None:
    seen = set()
    for header in headers_to_try(len(whole)):
        wanted = reference(header, len(whole))
        reply = served.http.get(FILE, headers=[(b"range", header.encode())])
        if wanted == 416:
            assert reply.status_code == 416, header
            assert reply.headers["content-range"] == f"bytes */{len(whole)}"
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json()["remedy"]
        elif wanted == 200:
            assert reply.status_code == 200, header
            assert reply.content == whole
            assert "content-range" not in reply.headers
        else:
            start, stop = wanted
            assert reply.status_code == 206, header
            assert reply.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
            assert reply.headers["content-length"] == str(stop - start)
            assert reply.content == whole[start:stop]
        seen.add(reply.status_code)
    assert seen == {200, 206, 416}


def test_conditions(served: Serving, whole: bytes) -> None:
    etag = get(served).headers["etag"]
    part = whole[100:200]
    for tag, wanted in ((etag, part), (f"W/{etag}", whole), ('"other"', whole)):
        assert get(served, range="bytes=100-199", if_range=tag).content == wanted
    date = "Wed, 21 Oct 2015 07:28:00 GMT"
    assert get(served, range="bytes=100-199", if_range=date).content == whole
    assert get(served, range="bytes=99999999-", if_range='"other"').status_code == 200
    for tags in (etag, f"W/{etag}", f'"a", {etag}', "*"):
        for request in (get(served, if_none_match=tags, range="bytes=0-1"),):
            assert (request.status_code, request.content) == (304, b"")
            assert request.headers["etag"] == etag
    assert get(served, if_none_match='"other"', range="bytes=100-199").content == part
    head = served.http.head(FILE, headers={"Range": "bytes=1-2"})
    assert (head.status_code, head.headers["content-length"]) == (200, str(len(whole)))
    twice = [("range", "bytes=0-1"), ("range", "bytes=2-3")]
    assert served.http.get(FILE, headers=twice).status_code == 200


def test_a_name_in_other_letters(served: Serving) -> None:
    from cache.rows import PackRow
    from service.routes.files import _disposition

    row = served.http.app.state.featurepack.catalogue.find_pack(PACK, EVERYTHING)  # type: ignore[attr-defined]
    named = _disposition(PackRow(**vars(row) | {"dataset": "Äpfel"}))
    assert 'filename="resnet18__pfel_' in named
    assert "filename*=UTF-8''resnet18_%C3%84pfel_" in named
    named.encode("ascii")


# Layout


def test_the_layout_tells_where_the_arrays_lie(served: Serving, whole: bytes) -> None:
    layout = served.get(f"/v1/packs/{PACK}/layout")
    assert layout["object"] == "layout"
    assert layout["pack_id"] == PACK
    assert layout["bytes"] == len(whole)
    assert f'"{layout["etag"]}"' == get(served).headers["etag"]
    assert layout["hash"] == "xxh3-128"
    assert list(layout["arrays"]) == ["features", "labels", "valid", "row_hash", "shard_hash"]
    arrays = {}
    with h5py.File(served.store.pack(PACK)) as file:
        for name, place in layout["arrays"].items():
            count = int(np.prod(place["shape"]))
            found = np.frombuffer(whole, place["dtype"], count, place["offset"])
            arrays[name] = found.reshape(place["shape"])
            np.testing.assert_array_equal(arrays[name], file[name][:])
        assert layout["shard_rows"] == file.attrs["shard_rows"]
        assert json.loads(file.attrs["splits"])["train"] == [0, 4000]
    step = layout["shard_rows"]
    for shard, start in enumerate(range(0, 5000, step)):
        rows = arrays["features"][start : start + step]
        digest = xxhash.xxh3_128_digest(rows.tobytes())
        assert digest == arrays["shard_hash"][shard].tobytes()
    served.get("/v1/packs/none/layout", 404)
