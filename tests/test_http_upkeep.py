"""Upkeep over HTTP: pins, verification, quarantine, downloads that hold on, a full disk."""

from __future__ import annotations

import errno
import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import h5py
import numpy as np
import pytest
import sqlalchemy as sa
from fastapi import Request, Response

from cache.database import Database
from cache.errors import Conflict
from cache.identity import hash_file, hash_shard
from cache.locks import unused
from cache.sight import EVERYTHING
from cache.store import Store
from cache.tables import packs
from service.routes.files import _file
from tests.pictures import write_image_folder
from tests.serving import PAIR, Serving, images, serving, wait, zipped

WAIT = {"Prefer": "wait=60"}


def verify(served: Serving, pack: dict[str, Any], query: str = "", status: int = 200) -> Any:
    path = f"/v1/packs/{pack['pack_id']}/verify{query}"
    return served.post(path, None, status, headers=WAIT)


def damage(served: Serving, pack: dict[str, Any]) -> Path:
    """Change one value of the first row behind HDF5's back."""
    path = served.store.pack(pack["pack_id"])
    path.chmod(0o644)
    with h5py.File(path) as file:
        offset = file["features"].id.get_offset()
    data = bytearray(path.read_bytes())
    data[offset + 2] ^= 4
    path.write_bytes(data)
    return path


def test_packs_are_pinned_and_unpinned(served: Serving, pack: dict[str, Any]) -> None:
    assert (pack["pinned"], pack["problem"]) == (False, None)
    path = f"/v1/packs/{pack['pack_id']}/pin"
    for _ in range(2):
        assert served.http.put(path).json()["pinned"] is True
    assert served.get(f"/v1/packs/{pack['pack_id']}")["pinned"] is True
    assert served.http.delete(path).json()["pinned"] is False
    assert served.http.put("/v1/packs/none/pin").status_code == 404
    assert served.http.delete("/v1/packs/none/pin").status_code == 404


def test_a_damaged_pack_is_found_set_aside_and_built_again(served: Serving) -> None:
    body = PAIR | {"weights": "random:21"}
    pack = wait(served, body)
    base = f"/v1/packs/{pack['pack_id']}"
    served.http.put(f"{base}/pin")
    rows = served.http.get(f"{base}/features").content
    file = damage(served, pack)
    problem = verify(served, pack, status=422)
    assert "1 damaged shards" in problem["detail"]
    assert "submit the pair again" in problem["remedy"]
    listed = served.get(base)
    assert listed["problem"]["kind"] == "corrupt-data"
    assert listed["pinned"] is True
    for path in ("features", "labels", "index", "file"):
        refused = served.get(f"{base}/{path}", 409)
        assert "quarantined" in refused["detail"]
        assert "submit the pair again" in refused["remedy"]
    served.post(f"{base}/rows", {"rows": [0]}, 409)
    served.post("/v1/heads", {"pack_id": pack["pack_id"]}, 409)
    verify(served, pack, status=409)
    assert not file.exists()
    estimate = served.post("/v1/jobs/estimate", body)["items"][0]
    assert estimate["cached"] is False
    again = wait(served, body)
    assert (again["pack_id"], again["problem"]) == (pack["pack_id"], None)
    assert again["pinned"] is True
    assert served.http.get(f"{base}/features").content == rows
    assert verify(served, pack)["state"] == "succeeded"


def test_a_file_that_was_cut_is_built_again_when_asked_for(served: Serving) -> None:
    body = PAIR | {"weights": "random:22"}
    pack = wait(served, body)
    file = served.store.pack(pack["pack_id"])
    file.chmod(0o644)
    os.truncate(file, 4000)
    again = wait(served, body)
    assert again["etag"] == hash_file(file)
    assert verify(served, again)["state"] == "succeeded"


def test_opening_a_damaged_file_is_a_conflict(served: Serving) -> None:
    pack = wait(served, PAIR | {"weights": "random:23"})
    served.store.pack(pack["pack_id"]).unlink()
    problem = served.get(f"/v1/packs/{pack['pack_id']}/features", 409)
    assert "is gone" in problem["detail"]
    served.get(f"/v1/packs/{pack['pack_id']}/features", 409)


# Rows extracted again


def test_rows_are_extracted_again_and_compared(served: Serving, pack: dict[str, Any]) -> None:
    result = verify(served, pack, "?rows=5")["result"]
    assert result == {"pack_id": pack["pack_id"], "shards": 1, "rows_checked": 5}
    assert verify(served, pack, "?rows=1000")["result"]["rows_checked"] == pack["rows"]
    assert verify(served, pack)["result"]["rows_checked"] == 0
    verify(served, pack, "?rows=0", 422)


def test_values_that_the_recipe_does_not_give_are_damage(served: Serving) -> None:
    """The hashes are right: the pack was computed wrong."""
    pack = wait(served, PAIR | {"weights": "random:24"})
    path = served.store.pack(pack["pack_id"])
    path.chmod(0o644)
    with h5py.File(path, "r+") as file:
        file["features"][:] = file["features"][:] + 0.5
        digest = hash_shard(file["features"][:].tobytes())
        file["shard_hash"][0] = np.frombuffer(digest, "u1")
    database = Database(served.store.database_url)
    with database.write() as connection:
        of_pack = sa.update(packs).where(packs.c.pack_id == pack["pack_id"])
        connection.execute(of_pack.values(etag=hash_file(path)))
    database.close()
    assert verify(served, pack)["state"] == "succeeded"
    assert "misses its bound" in verify(served, pack, "?rows=3", 422)["detail"]
    assert served.get(f"/v1/packs/{pack['pack_id']}")["problem"] is not None


@pytest.fixture
def other_set(served: Serving) -> Iterator[tuple[dict[str, Any], Path]]:
    """A dataset of its own, the pack of it, and its folder."""
    assert served.store.data_root is not None
    folder = write_image_folder(served.store.data_root / "other", {"train": {"a": 6}}, seed=5)
    source = {"kind": "folder", "path": "other"}
    served.post("/v1/datasets", {"name": "other", "source": source}, 201)
    yield wait(served, PAIR | {"dataset": "other"}), folder
    shutil.rmtree(folder)


def test_an_image_that_changed_is_no_fault_of_the_pack(
    served: Serving, other_set: tuple[dict[str, Any], Path]
) -> None:
    pack, folder = other_set
    for image in (folder / "train" / "a").iterdir():
        image.write_bytes(images(1, seed=77)[0])
    assert "changed since" in verify(served, pack, "?rows=6", 422)["detail"]
    assert served.get(f"/v1/packs/{pack['pack_id']}")["problem"] is None
    assert verify(served, pack)["state"] == "succeeded"
    served.store.manifest(pack["dataset_id"]).unlink()
    assert "manifest" in verify(served, pack, "?rows=6", 404)["detail"]
    assert served.get(f"/v1/packs/{pack['pack_id']}")["problem"] is None


def test_rows_of_an_imported_pack_cannot_be_extracted(served: Serving) -> None:
    labels = np.arange(9) % 3
    content = pickle.dumps({"features": np.ones((9, 4), np.float32), "labels": labels})
    pack = served.upload(
        "/v1/packs/import", network="vgg", dataset="tiny", train=("train.p", content)
    )
    assert "imported" in verify(served, pack, "?rows=1", 422)["detail"]
    assert verify(served, pack)["state"] == "succeeded"


# Downloads


def response(served: Serving, pack: dict[str, Any]) -> Response:
    """What answers a request for the file."""
    request = Request({"type": "http", "method": "GET", "headers": []})
    kept = served.http.app.state.featurepack
    return _file(request, kept, *kept.shelf.take(pack["pack_id"], EVERYTHING))


@pytest.fixture
def sent_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small answers are read at once, and their file is closed before they are sent."""
    monkeypatch.setattr("service.sending.LARGE_BYTES", 0)


def open_handles(path: Path) -> int:
    found = 0
    for handle in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # another thread closed it meanwhile
            found += handle.readlink() == path
    return found


@pytest.mark.usefixtures("sent_in_pieces")
def test_a_download_holds_the_pack_until_it_is_sent(served: Serving, pack: dict[str, Any]) -> None:
    path = served.store.pack(pack["pack_id"])
    received, in_use = bytearray(), []

    async def send(message: Any) -> None:
        with unused(path) as free:
            in_use.append(not free)
        received.extend(message.get("body", b""))

    async def receive() -> Any:
        await anyio.sleep_forever()

    answer = response(served, pack)
    before = open_handles(path)
    scope = {"type": "http", "method": "GET", "headers": []}
    anyio.run(answer, scope, receive, send)
    assert bytes(received) == path.read_bytes()
    assert all(in_use)
    with unused(path) as free:
        assert free
    assert open_handles(path) == before


@pytest.mark.usefixtures("sent_in_pieces")
def test_a_client_that_leaves_lets_go_of_the_pack(served: Serving, pack: dict[str, Any]) -> None:
    path = served.store.pack(pack["pack_id"])

    async def send(_: Any) -> None:
        await anyio.sleep_forever()  # nobody reads

    async def receive() -> Any:
        await anyio.sleep(0.05)
        return {"type": "http.disconnect"}

    answer = response(served, pack)
    before = open_handles(path)
    scope = {"type": "http", "method": "GET", "headers": []}
    anyio.run(answer, scope, receive, send)
    with unused(path) as free:
        assert free
    assert open_handles(path) == before


@pytest.mark.usefixtures("sent_in_pieces")
def test_a_pack_that_is_deleted_is_sent_to_its_end(served: Serving) -> None:
    pack = wait(served, PAIR | {"weights": "random:25"})
    whole = served.store.pack(pack["pack_id"]).read_bytes()
    received = bytearray()

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            assert served.http.delete(f"/v1/packs/{pack['pack_id']}").status_code == 204
        received.extend(message.get("body", b""))

    async def receive() -> Any:
        await anyio.sleep_forever()

    scope = {"type": "http", "method": "GET", "headers": []}
    anyio.run(response(served, pack), scope, receive, send)
    assert bytes(received) == whole
    assert not list((served.store.root / "packs").glob(".*"))


# A full disk, a wrong store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB, full but for some kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs more rights")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_upload_to_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    store = Store(tmp_path / "store").create()
    incoming = store.root / "incoming"
    incoming.rmdir()
    incoming.symlink_to(small_disk)
    (small_disk / "filler").write_bytes(b"x" * 1_000_000)
    archive = zipped({"train/a/1.png": os.urandom(300_000)})
    with serving(store) as service:
        problem = service.upload("/v1/datasets", 503, name="big", file=("big.zip", archive))
        assert problem["detail"] == "the disk is full"
        assert service.get("/v1/jobs")["items"] == []
    assert [path.name for path in small_disk.iterdir()] == ["filler"]


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EDQUOT])
def test_a_manifest_for_which_there_is_no_room(
    served: Serving, error: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, _: bytes) -> int:
        self.touch()
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(Path, "write_bytes", full)
    body = PAIR | {"view": {"limit": 3 + error % 7}}
    reply = served.http.post("/v1/jobs", json=body)
    assert reply.status_code == 503
    assert reply.headers["retry-after"]
    assert reply.json()["detail"] == "the disk is full"
    assert not list((served.store.root / "datasets").glob(".*"))


def test_other_errors_of_the_system_stay_unexpected(
    served: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr("service.routes.packs.PackListing.of", broken)
    assert served.http.get("/v1/packs").json()["detail"] == "something went wrong"


def test_a_service_does_not_start_over_another_store(tmp_path: Path) -> None:
    first, second = (Store(tmp_path / name).create() for name in ("first", "second"))
    with serving(first):
        pass
    shutil.copy(first.root / "featurepack.db", second.root)
    with pytest.raises(Conflict, match="mounted"), serving(second):
        pass
