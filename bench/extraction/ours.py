"""Featurepack itself: a service and a worker on loopback, and a job in the worker's queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.extraction.memory import PeakMemory
from bench.extraction.turn import Turn
from bench.extraction.work import Work
from featurepack import Client
from featurepack.answers import Job, Pack
from featurepack.processes import Children, url_of, usable_port

HOST = "127.0.0.1"
START_SECONDS = 120.0

FACTS = (
    "engine",
    "batch",
    "images_per_second",
    "decode_seconds",
    "compute_seconds",
    "write_seconds",
    "limited_by",
    "rows_copied",
    "device",
)
"""What a pack's provenance tells of its making."""


class Ours:
    """A running service and worker that know the work's images."""

    def __init__(
        self, client: Client, work: Work, start_seconds: float, memory: PeakMemory
    ) -> None:
        self._client = client
        self._work = work
        self._start_seconds = start_seconds
        self._memory = memory

    def register(self, dataset: str) -> None:
        """The images of a folder below the data root."""
        self._client.add_dataset(dataset, {"kind": "folder", "path": dataset})

    def upload(self, dataset: str, file: Path) -> None:
        """The images of an archive or of arrays."""
        self._client.upload_dataset(dataset, file)

    def turn(self) -> Turn:
        """Extract all images, none of which is known."""
        return self.extract(self._work.folder.name)

    def extract(self, dataset: str) -> Turn:
        """One job from the queue to the published pack, which is deleted afterwards."""
        submitted = self._client.submit(
            self._work.network,
            dataset,
            weights=self._work.weights,
            transform=self._work.transform,
            numerics={"compute": self._work.compute},
        )
        assert isinstance(submitted, Job), "the pack is there already: nothing can be measured"
        first_row: datetime | None = None
        job = submitted
        for job in self._client.events(submitted.id):
            if first_row is None and job.progress.get("rows_computed"):
                first_row = datetime.now(UTC)
        job = self._client.wait(job)
        assert job.pack_id is not None
        assert job.started is not None
        assert job.finished is not None
        pack = self._client.pack(job.pack_id)
        self._client.delete_pack(pack.pack_id)
        return Turn(
            images=pack.rows,
            seconds=(job.finished - job.started).total_seconds(),
            start_seconds=self._start_seconds,
            first_row_seconds=(first_row - job.started).total_seconds() if first_row else None,
            peak_bytes=self._memory.look(),
            facts=_facts(pack),
        )


def _facts(pack: Pack) -> dict[str, Any]:
    facts = {name: pack.provenance.get(name) for name in FACTS}
    assert facts["rows_copied"] == 0, "rows were known before: nothing can be measured"
    certificate = pack.provenance["certificate"]
    return facts | {"largest_error": certificate.get("largest_error")}


@contextmanager
def ours(work: Work, store: Path, *, warm: bool) -> Iterator[Ours]:
    """Service and worker over ``store``, with the images of ``work`` registered.

    Registering is no part of a turn. ``warm``: a few other images go through the same network
    first, so that the engine is chosen, as it is for whoever comes second.
    """
    with running(work, store) as contender:
        contender.register(work.folder.name)
        if warm:
            contender.register(work.warm_folder.name)
            contender.extract(work.warm_folder.name)
        yield contender


@contextmanager
def running(work: Work, store: Path) -> Iterator[Ours]:
    """Service and worker over ``store``."""
    store.mkdir(parents=True, exist_ok=True)
    environment = {
        "FEATUREPACK_STORE": str(store),
        "FEATUREPACK_DATABASE": "",
        "FEATUREPACK_DATA_ROOT": str(work.folder.parent),
        "FEATUREPACK_WEIGHTS_DIR": work.weights_dir or "",
    }
    with Children(environment, logs=store) as children:
        began = time.perf_counter()
        port = usable_port(HOST, 0)
        url = url_of(HOST, port)
        children.start("service", "--host", HOST, "--port", str(port))
        children.start("worker")
        children.wait_for(f"{url}/readyz", START_SECONDS)
        started = time.perf_counter() - began
        pids = [child.process.pid for child in children.all]
        with PeakMemory(pids) as memory, Client(url) as client:
            yield Ours(client, work, started, memory)
