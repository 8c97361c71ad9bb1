"""A service, a worker and a database that are killed at random moments while they work."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import httpx

from cache.store import Store
from tests.postgres_server import PostgresServer
from tests.processes import PAIR, Watched, free_port, insist, watched

Victim = Literal["worker", "service", "database"]

ACTIVE_JOBS = 2
"""So many are always there, so that a kill hits work in progress."""

LIFE_ROWS = 64
"""So much a worker gets done before it is killed again: nothing ends in a world without that."""

LONGEST_PAUSE = 1.5


@dataclass
class Chaos:
    """One house under attack. Its supervisor starts again what was killed, at once."""

    http: httpx.Client
    service: Watched
    worker: Watched
    database: PostgresServer | None
    rows: int
    dice: Random
    pairs: list[dict[str, Any]] = field(default_factory=list)
    hits: int = 0
    """Kills while a job was running."""
    _furthest: dict[str, int] = field(default_factory=dict)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """As a patient client calls, whoever is dead just now."""
        return insist(self.http, method, path, meanwhile=self._supervise, **options)

    def _supervise(self) -> None:
        self.service.watch()
        self.worker.watch()

    def attack(self, victims: tuple[Victim, ...], kills: int) -> None:
        """Kill the victims in turn, in the midst of extractions."""
        lived_from = 0
        for number in range(kills):
            victim = victims[number % len(victims)]
            self._keep_busy()
            if victim == "worker" or self.dice.random() < 0.75:
                self._wait_for_rows(lived_from + LIFE_ROWS)
            # No condition can be waited for here: any moment is meant.
            time.sleep(self.dice.uniform(0, LONGEST_PAUSE))
            self.hits += any(job["state"] == "running" for job in self.jobs())
            self._kill(victim)
            if victim == "worker":
                lived_from = self._rows_done()

    def _kill(self, victim: Victim) -> None:
        if victim == "database":
            assert self.database is not None
            self.database.kill()
            self.database.start()
        else:
            (self.worker if victim == "worker" else self.service).kill()

    def _keep_busy(self) -> None:
        while sum(job["finished"] is None for job in self.jobs()) < ACTIVE_JOBS:
            pair = PAIR | {"weights": f"random:{len(self.pairs)}"}
            self.pairs.append(pair)
            self.call("POST", "/v1/jobs", json=pair)

    def jobs(self) -> list[dict[str, Any]]:
        """Every extraction there ever was; none of them fails."""
        listed = self.call("GET", "/v1/jobs", params={"kind": "extract", "limit": 500})
        found: list[dict[str, Any]] = listed["items"]
        assert listed["next_cursor"] is None
        for job in found:
            assert job["state"] in ("queued", "running", "succeeded"), job
        return found

    def _rows_done(self) -> int:
        """Rows of all jobs. What an attempt has not told yet is as its predecessor left it."""
        for job in self.jobs():
            succeeded = job["state"] == "succeeded"
            done = self.rows if succeeded else job["progress"].get("rows_done", 0)
            self._furthest[job["id"]] = max(done, self._furthest.get(job["id"], 0))
        return sum(self._furthest.values())

    def _wait_for_rows(self, rows: int) -> None:
        deadline = time.monotonic() + 90
        while self._rows_done() < rows:
            self._keep_busy()
            assert time.monotonic() < deadline, f"the work does not get on: {self.jobs()}"
            time.sleep(0.1)

    def settle(self) -> None:
        """Nobody is killed any more; every job ends, and so does the worker."""
        deadline = time.monotonic() + 180
        while not all(job["state"] == "succeeded" for job in self.jobs()):
            assert time.monotonic() < deadline, self.jobs()
            time.sleep(0.1)
        self.worker.retire()


@contextmanager
def chaos(
    store: Store, database: PostgresServer | None, *, rows: int, seed: int
) -> Iterator[Chaos]:
    """A house over ``store``; the database is an SQLite file where no server is given."""
    settings = {"database": database.url} if database else {}
    port = free_port()
    with (
        watched("service", store, "--port", str(port), **settings) as service,
        watched("worker", store, **settings) as worker,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        yield Chaos(http, service, worker, database, rows, Random(seed))
