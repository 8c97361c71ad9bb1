"""A store with something in it, for tests that only look: two datasets, packs, heads, maps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from cache.store import Store
from tests.live import live
from tests.pictures import write_image_folder
from tests.serving import worker_running

CLASSES = ("dark owls", "grey owls", "herons", "kites", "wrens")
"""Pictures of the fourth look like those of the first, of the fifth like the second's."""


@dataclass(frozen=True)
class Furnished:
    """``pack`` has ``heads`` by method, a map by each method, and 5 classes in two splits."""

    url: str
    pack: dict[str, Any]
    heads: dict[str, dict[str, Any]]


@contextmanager
def furnished(root: Path) -> Iterator[Furnished]:
    """The service over such a store; the worker that filled it has ended."""
    (root / "data").mkdir(parents=True)
    store = Store(root / "store", root / "data").create()
    for name, seed in (("birds", 0), ("more-birds", 1)):
        counts = dict.fromkeys(CLASSES, 24)
        splits = {"train": counts, "validation": dict.fromkeys(CLASSES, 12)}
        write_image_folder(root / "data" / name, splits, seed=seed)
    with live(store) as line, httpx.Client(base_url=line.url, timeout=70) as http:
        with worker_running(store):
            pack, heads = _fill(http)
        yield Furnished(line.url, pack, heads)


def _fill(http: httpx.Client) -> tuple[dict[str, Any], dict[str, Any]]:
    packs = {}
    for name in ("birds", "more-birds"):
        _made(http, "/v1/datasets", {"name": name, "source": {"kind": "folder", "path": name}})
        for network in ("squeezenet1_1", "shufflenet_v2_x0_5"):
            pair = {"network": network, "dataset": name, "weights": "random:0"}
            asked = pair | {"transform": {"preset": "stretch", "size": 64}}
            packs[network, name] = _made(http, "/v1/jobs", asked)
    first = packs["squeezenet1_1", "birds"]
    heads = {}
    for (network, name), pack in packs.items():
        methods = ["linear", "centroid", "mlp"] if pack is first else ["linear"]
        for method in methods:
            if (network, name) != ("shufflenet_v2_x0_5", "more-birds"):
                body = {"pack_id": pack["pack_id"], "method": method, "validation": "validation"}
                head = _made(http, "/v1/heads", body)
                if pack is first:
                    heads[method] = head
    for view in ("statistics", "map?method=pca", "map?method=tsne"):
        _there(http, f"/v1/packs/{first['pack_id']}/{view}")
    return first, heads


def _made(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    reply = http.post(path, json=body, headers={"Prefer": "wait=60"})
    assert reply.status_code in (200, 201), reply.text
    found: dict[str, Any] = reply.json()
    return found


def _there(http: httpx.Client, path: str) -> None:
    deadline = time.monotonic() + 60
    while http.get(path, headers={"Prefer": "wait=20"}).status_code != 200:
        assert time.monotonic() < deadline, path
