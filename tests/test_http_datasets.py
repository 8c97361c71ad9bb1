"""Datasets over HTTP: uploads, versions, sources, and what is refused."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from cache.store import Store
from tests.serving import PAIR, Serving, images, serving, wait, zipped


def test_uploads_become_versions(served: Serving) -> None:
    one, two, three = images(3)
    members = {"train/a/1.png": one, "train/b/1.png": two}
    first = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert (first["version"], first["splits"]) == (1, {"train": 2})
    same = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert same["version"] == 1
    members["train/b/2.png"] = three
    second = served.upload("/v1/datasets", name="mine", file=("m.zip", zipped(members)))
    assert (second["version"], second["rows"]) == (2, 3)
    shown = served.get("/v1/datasets/mine")
    assert (shown["version"], shown["versions"]) == (2, [2, 1])
    assert served.get("/v1/datasets/mine@1")["rows"] == 2
    pack = wait(served, PAIR | {"dataset": "mine@1"})
    assert pack["rows"] == 2
    assert served.http.delete("/v1/datasets/mine").status_code == 204
    served.get("/v1/datasets/mine", 404)
    assert served.get(f"/v1/packs/{pack['pack_id']}")["rows"] == 2, "packs outlive their dataset"
    assert list((served.store.root / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "file", "status"),
    [
        ("x", ("a.zip", zipped({"train/../../a.png": b"x"})), 422),
        ("x", ("a.zip", zipped({"/a/b.png": b"x"})), 422),
        ("x", ("a.zip", zipped({"readme.txt": b"no images"})), 422),
        ("x", ("a.zip", zipped({"train/a/1.png": b"x" * 9999})[:-40]), 422),
        ("x", ("a.bin", b"what is this"), 422),
        ("x", ("a.p", b"cos\nsystem\n(S'true'\ntR."), 422),
        ("../x", ("a.zip", zipped({"train/a/1.png": b"x"})), 422),
        ("", ("a.zip", zipped({"train/a/1.png": b"x"})), 422),
    ],
    ids=["dots", "absolute", "empty", "truncated", "unknown", "pickle", "name", "no name"],
)
def test_wrong_uploads_are_problems_and_leave_nothing(
    served: Serving, name: str, file: tuple[str, bytes], status: int
) -> None:
    before = sorted(served.store.root.rglob("*"))
    served.upload("/v1/datasets", status, name=name, file=file)
    assert sorted(p for p in served.store.root.rglob("*") if ".db" not in p.name) == [
        p for p in before if ".db" not in p.name
    ]
    served.get("/v1/datasets/x", 404)


def test_names_in_any_language(served: Serving) -> None:
    members = {"train/猫/ねこ.png": images(1)[0], "train/हाथी/1.png": images(1, 2)[0]}
    made = served.upload("/v1/datasets", name="кошки", file=("к.zip", zipped(members)))
    assert made["classes"] == ["हाथी", "猫"]
    assert served.get("/v1/datasets/кошки")["dataset_id"] == made["dataset_id"]
    pack = wait(served, PAIR | {"dataset": "кошки"})
    file = served.http.get(f"/v1/packs/{pack['pack_id']}/file")
    assert file.status_code == 200
    index = served.get(f"/v1/packs/{pack['pack_id']}/index")
    assert [row["row_id"] for row in index["rows"]] == ["train/हाथी/1.png", "train/猫/ねこ.png"]


def test_an_unlabelled_dataset_has_no_classes_to_take(served: Serving) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((4, 8, 8), np.uint8))
    served.upload("/v1/datasets", name="bare", file=("bare.npz", buffer.getvalue()))
    problem = served.post("/v1/jobs", PAIR | {"dataset": "bare", "view": {"per_class": 1}}, 422)
    assert "no labels" in problem["detail"]
    assert list((served.store.root / "building").iterdir()) == []


def test_wrong_sources_are_problems(served: Serving) -> None:
    def register(source: dict[str, Any], status: int) -> str:
        return str(served.post("/v1/datasets", {"name": "y", "source": source}, status)["detail"])

    assert "nowhere" in register({"kind": "folder", "path": "nowhere"}, 404)
    assert "leads out" in register({"kind": "folder", "path": "../store"}, 422)
    assert "absolute" in register({"kind": "folder", "path": "/etc"}, 422)
    assert "imagenet" in register({"kind": "torchvision", "name": "imagenet"}, 404)
    assert "ftp" in register({"kind": "ftp"}, 422)
    assert "digits" in register({"kind": "builtin", "name": "digitz"}, 422)
    served.get("/v1/datasets/y", 404)


def test_uploads_beyond_the_limit_are_refused(store: Store) -> None:
    with serving(store, max_upload_bytes=10_000) as service:
        problem = service.upload("/v1/datasets", 413, name="big", file=("a.zip", b"0" * 20_000))
        assert problem["value"] > 10_000
        assert list((store.root / "incoming").iterdir()) == []
