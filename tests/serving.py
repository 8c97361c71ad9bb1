"""A service inside the test: its application, a client for it, and a worker in threads."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from starlette.testclient import TestClient

from cache.store import Store
from service.app import create_app
from service.settings import ServiceSettings
from tests.pictures import png
from tests.working import working
from worker.context import Context
from worker.loop import run

PAIR = {
    "network": "squeezenet1_1",
    "dataset": "set",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 64},
}
"""What the tests ask for: the dataset of the fixture ``served``, and a small network."""


@dataclass(frozen=True)
class Serving:
    """``http`` speaks to the application without a socket; ``store`` is where it keeps things."""

    http: TestClient
    store: Store

    def get(self, path: str, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.get(path, **options), status)

    def post(self, path: str, body: Any = None, status: int = 200, **options: Any) -> Any:
        return self._json(self.http.post(path, json=body, **options), status)

    def upload(self, path: str, status: int = 201, **parts: Any) -> Any:
        """Parts that are ``(name, bytes)``, or lists of them, are files; others are fields."""
        files, fields = [], {}
        for key, value in parts.items():
            if isinstance(value, str):
                fields[key] = value
            else:
                files += [(key, one) for one in (value if isinstance(value, list) else [value])]
        return self._json(self.http.post(path, data=fields, files=files), status)

    @staticmethod
    def _json(response: Any, status: int) -> Any:
        assert response.status_code == status, response.text
        if status >= 400:
            assert response.headers["content-type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == status
            assert problem["type"].startswith("urn:featurepack:problem:")
            assert problem["detail"]
            assert problem["remedy"], problem
            return problem
        return response.json() if response.content else None


@contextmanager
def serving(store: Store, **settings: Any) -> Iterator[Serving]:
    """The service alone: jobs stay queued."""
    url = f"sqlite:///{store.root / 'featurepack.db'}"
    app = create_app(ServiceSettings(store=store, database_url=url, **settings))
    with TestClient(app, raise_server_exceptions=False) as http:
        yield Serving(http, store)


@contextmanager
def worker_running(store: Store, **settings: Any) -> Iterator[Context]:
    """A whole worker, all its lanes, in threads of this process."""
    with working(store, poll_seconds=0.02, **settings) as context:
        thread = threading.Thread(target=run, args=(context,))
        thread.start()
        try:
            yield context
        finally:
            context.stop.set()
            thread.join()


def wait(served: Serving, body: dict[str, Any], status: int = 200) -> Any:
    return served.post("/v1/jobs", body, status, headers={"Prefer": "wait=60"})


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def images(count: int, seed: int = 0) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [png(random, 16, 0) for _ in range(count)]
