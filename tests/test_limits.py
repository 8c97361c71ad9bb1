"""What one request or file may cost: forms, values in answers, names, headers that lie."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from cache.errors import FeaturepackError, InvalidRequest, TooLarge
from cache.store import Store
from service.shown import MAX_DEPTH, MAX_ITEMS, MAX_TEXT, shown
from service.thumbnails import thumbnail
from tests.serving import Serving, serving
from tests.test_sources import IMAGES, PNG, npz, tarred, upload, zipped
from worker.checkpoints import load_state_dict
from worker.ingest import IngestLimits, ingest

JSON = {"Content-Type": "application/json"}
CALLS = ("/v1/jobs", "/v1/datasets", "/v1/heads", "/v1/studies", "/v1/advice", "/v1/packs/delete",
         "/v1/packs/pin", "/v1/packs/a-b/rows", "/v1/jobs/estimate")  # fmt: skip


@pytest.fixture
def service(store: Store) -> Iterator[Serving]:
    with serving(store) as found:
        yield found


# --- requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize("depth", [50, 700, 950, 100_000])
def test_nested_bodies_are_refused(service: Serving, path: str, depth: int) -> None:
    for body in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        for whole in (body, '{"network": ' + body + ', "rows": ' + body + "}"):
            response = service.http.post(path, content=whole, headers=JSON)
            assert response.status_code in (400, 422), response.text[:200]
            assert response.json()["remedy"]
            assert len(response.content) < 20_000


@pytest.mark.parametrize("path", CALLS)
@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe\x00",
        b'"\\ud800"',
        b"NaN",
        b"1e999",
        b"9" * 10_000,
        b'{"network": "' + b"x" * 100_000 + b'", "pack_ids": ["' + b"y" * 100_000 + b'"]}',
        json.dumps({f"key{number}": number for number in range(20_000)}).encode(),
        json.dumps({"rows": ["a"] * 50_000, "row_id": [1] * 50_000, "label": [[]] * 9}).encode(),
    ],
    ids=["bytes", "surrogate", "nan", "infinite", "digits", "long", "keys", "items"],
)
def test_odd_bodies_are_refused_in_few_words(service: Serving, path: str, body: bytes) -> None:
    for headers in (JSON, {"Content-Type": "text/plain"}, {}):
        response = service.http.post(path, content=body, headers=headers)
        assert response.status_code in (400, 404, 422), response.text[:200]
        assert len(response.content) < 150_000


def test_another_sites_form_cannot_pass_for_json(service: Serving) -> None:
    """Browsers send text/plain to any site without asking it."""
    body = '{"name": "x", "source": {"kind": "builtin", "name": "digits"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        problem = service.http.post("/v1/datasets", content=body, headers={"Content-Type": kind})
        assert problem.status_code == 422
        assert "application/json" in problem.json()["remedy"]


def test_another_method_hears_of_all_that_will_do(service: Serving) -> None:
    for path, methods in {
        "/v1/packs/a-b": "GET, DELETE",
        "/v1/packs/a-b/pin": "PUT, DELETE",
        "/v1/packs/pin": "POST",
        "/v1/jobs": "GET, POST",
        "/v1/packs/a-b/file": "GET, HEAD",
        "/healthz": "GET",
    }.items():
        response = service.http.patch(path)
        assert response.status_code == 405
        assert response.headers["allow"] == methods, path


def test_forms_are_bounded(service: Serving) -> None:
    many = {f"field{number}": "x" for number in range(30)}
    for fields in (many, {"name": "x" * 100_000}):
        for path in ("/v1/datasets", "/v1/weights", "/v1/packs/import"):
            response = service.http.post(path, data=fields, files={"file": ("a.npz", b"x")})
            assert response.status_code == 400, response.text
            assert response.json()["remedy"]
    files = [("file", (f"{number}.png", b"x")) for number in range(1001)]
    assert service.http.post("/v1/networks/resnet18/classify", files=files).status_code == 400


@pytest.mark.parametrize(
    "name", ["a\nb.zip", "a\x1b[2Jb.zip", "\x00.zip", "a" * 300, "a\u2028.zip"]
)
def test_names_of_uploads_are_text_in_one_line(service: Serving, name: str) -> None:
    head = b'Content-Disposition: form-data; name="file"; filename="' + name.encode()
    parts = (b'Content-Disposition: form-data; name="name"\r\n\r\nx', head + b'"\r\n\r\nx')
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts) + b"--b--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    response = service.http.post("/v1/datasets", content=body, headers=kind)
    assert response.status_code in (400, 422), response.text
    assert not list((service.store.root / "incoming").iterdir())


def test_values_are_shown_as_far_as_they_help() -> None:
    assert shown(["a", 1, None, True, 0.5, {"b": (2,)}]) == ["a", 1, None, True, 0.5, {"b": [2]}]
    assert shown([float("nan"), float("-inf")]) == ["nan", "-inf"]
    assert shown(b"\xffa") == "\\xffa"
    assert shown(Path("/a")) == "/a"
    assert len(shown("x" * 5000)) == MAX_TEXT + 1
    assert shown(list(range(500)))[-1] == "…"
    assert len(shown(dict.fromkeys(map(str, range(500))))) == MAX_ITEMS + 1
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert json.dumps(shown(deep)).count("[") == MAX_DEPTH


# --- files ---------------------------------------------------------------------------------------


def refused(store: Store, data: bytes, **limits: int) -> FeaturepackError:
    with pytest.raises(FeaturepackError) as caught:
        ingest(upload(store, ("upload", data)), store, IngestLimits(**limits))
    assert caught.value.remedy
    return caught.value


def test_an_npy_header_of_a_gigabyte_is_not_read(store: Store) -> None:
    size = 1 << 30
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("images.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\2\0" + struct.pack("<I", size))
        for _ in range(64):
            member.write(b" " * (size // 64))
    assert len(buffer.getvalue()) < 2 << 20
    spec = upload(store, ("upload", buffer.getvalue()))
    tracemalloc.start()
    with pytest.raises(FeaturepackError, match="header is too long"):
        ingest(spec, store)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20


def test_arrays_that_can_only_be_read_whole_are_bounded(store: Store) -> None:
    fortran = npz(images=np.asfortranarray(IMAGES))
    assert len(ingest(upload(store, ("x", fortran)), store)) == len(IMAGES)
    assert isinstance(refused(store, fortran, max_whole_bytes=IMAGES.nbytes - 1), TooLarge)
    wide = npz(images=IMAGES)
    assert isinstance(refused(store, wide, max_whole_bytes=IMAGES[0].nbytes - 1), TooLarge)


def test_rows_of_arrays_are_counted_before_labels_are_read(store: Store) -> None:
    images = np.zeros((5000, 1, 1), np.uint8)
    data = npz(images=images, labels=np.zeros(5000, np.int8))
    error = refused(store, data, max_rows=4999)
    assert isinstance(error, TooLarge)
    assert "5000 images" in error.message
    many = npz(images=IMAGES, labels=np.zeros(10_000_000, np.int8), compressed=True)
    tracemalloc.start()
    assert "10000000 labels" in refused(store, many).message
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 32 << 20, "a list of ten million labels was made"


@pytest.mark.parametrize("name", ["cat/a\nb.png", "cat/\x1b[31m.png", "c\u2029at/a.png"])
def test_names_in_archives_are_text_in_one_line(store: Store, name: str) -> None:
    for data in (zipped({name: PNG}), tarred({name: PNG})):
        error = refused(store, data)
        assert isinstance(error, InvalidRequest)
        assert "\n" not in error.message
        assert "\x1b" not in error.message


def test_names_in_archives_are_bounded(store: Store) -> None:
    long = "cat/" + "a" * 1100 + ".png"
    for data in (zipped({long: PNG}), tarred({long: PNG})):
        error = refused(store, data)
        assert isinstance(error, TooLarge)
        assert len(error.message) < 500


def test_names_in_folders_are_text_in_one_line(store: Store) -> None:
    assert store.data_root is not None
    folder = store.data_root / "set" / "cat"
    folder.mkdir(parents=True)
    (folder / "a\nb.png").write_bytes(PNG)
    with pytest.raises(InvalidRequest, match="one line"):
        ingest({"kind": "folder", "path": "set"}, store)


def test_a_checkpoint_that_unpacks_to_more_is_refused(tmp_path: Path) -> None:
    whole, bomb = tmp_path / "whole.pth", tmp_path / "bomb.pth"
    torch.save({"weight": torch.zeros(1_000_000)}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert bomb.stat().st_size < 20_000
    assert load_state_dict(whole)["weight"].shape == (1_000_000,)
    with pytest.raises(InvalidRequest, match="unpacks to more"):
        load_state_dict(bomb)


def test_tensors_without_values_are_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3, device="meta")}, tmp_path / "meta.pth")
    with pytest.raises(InvalidRequest, match="no state dict"):
        load_state_dict(tmp_path / "meta.pth")


def gif_with_a_large_frame() -> bytes:
    """A screen of one pixel, and a frame of 65,535 × 65,535 that sticks out of it."""
    buffer = io.BytesIO()
    Image.new("P", (1, 1)).save(buffer, "GIF")
    data = bytearray(buffer.getvalue())
    at = data.index(b",", 13)
    data[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


def png_that_claims(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (1, 1)).save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize(
    "data", [gif_with_a_large_frame(), png_that_claims(100_001, 1000)], ids=["gif", "png"]
)
def test_pixels_are_counted_before_there_is_room_for_them(data: bytes) -> None:
    from worker.pixels.images import decode

    for read in (decode, lambda given: thumbnail(given, 64)):
        tracemalloc.start()
        with pytest.raises(TooLarge):
            read(data)
        tracemalloc.stop()
