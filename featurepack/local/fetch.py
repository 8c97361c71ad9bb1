"""A file of the service → a file here: several connections, each going on where it broke.

Bytes go from the connection into their place in the file; nothing else holds them. A thread of
its own hashes behind them, so that the file's hash is there when its last byte is.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import httpx
import xxhash

from featurepack.errors import CorruptData, FeaturepackError
from featurepack.local.disk import allocated, put
from featurepack.local.journal import PIECE_BYTES, Journal
from featurepack.transport import Transport, may_pass

CONNECTIONS = 4

OnBytes = Callable[[int, int], None]
"""Told how many bytes are there, and how many there will be."""


@dataclass(frozen=True)
class Remote:
    """A file that the service has: where, its ETag (XXH3-128 of its bytes) and its length."""

    path: str
    etag: str
    bytes: int


class Replaced(CorruptData):
    """The service now has another file there; ``value`` is its ETag."""


@dataclass
class _Run:
    """Bytes that one connection brings; those before ``at`` are there."""

    start: int
    stop: int
    at: int


def fetch(
    transport: Transport,
    remote: Remote,
    part: Path,
    journal: Journal,
    on_bytes: OnBytes | None = None,
) -> str:
    """Bring what the journal says is missing of a file into ``part``; the hash of all of it.

    Raises:
        NotFound: the file was deleted.
        Replaced: there is another one now.
        ConnectionFailed: connections broke too often; what is there stays.
        DiskFull: there is no room for it.
    """
    with allocated(part, remote.bytes) as handle:
        return _Fetch(transport, remote, handle, journal, on_bytes).run()


class _Fetch:
    def __init__(
        self,
        transport: Transport,
        remote: Remote,
        handle: int,
        journal: Journal,
        on_bytes: OnBytes | None,
    ) -> None:
        self._transport = transport
        self._remote = remote
        self._handle = handle
        self._journal = journal
        self._on_bytes = on_bytes
        self._runs = deque(_Run(start, stop, start) for start, stop in journal.missing())
        self._there = journal.bytes_done
        self._whole: _Run | None = None
        self._lock = threading.Condition()
        self._ended = threading.Event()
        self._connections = min(CONNECTIONS, len(self._runs))
        self._busy = 0

    def run(self) -> str:
        connections = self._connections
        with ThreadPoolExecutor(connections + 1, "featurepack") as pool:
            hashing = pool.submit(self._hash)
            try:
                if connections <= 1:  # a client of one thread is asked by this one
                    self._work()
                else:
                    self._all([pool.submit(self._work) for _ in range(connections)])
            except BaseException:
                with self._lock:
                    self._ended.set()
                    self._lock.notify_all()
                self._journal.write()
                raise
            return hashing.result()

    def _all(self, working: list[Future[None]]) -> None:
        """Wait for all; the first failure ends the others."""
        left = set(working)
        while left:
            done, left = wait(left, return_when="FIRST_EXCEPTION")
            for one in done:
                one.result()

    def _work(self) -> None:
        """Bring one run after the other.

        One of several connections may be refused for good: then it leaves its run to the others.
        """
        while (run := self._next()) is not None:
            try:
                self._bring(run)
            except FeaturepackError as failure:
                with self._lock:
                    self._connections -= 1
                    if not (self._connections and may_pass(failure)):
                        raise
                    self._runs.appendleft(run)
                    return
            finally:
                with self._lock:
                    self._busy -= 1
                    self._lock.notify_all()

    def _next(self) -> _Run | None:
        """A run, as soon as there is one; None when there will be none."""
        with self._lock:
            while not self._runs and self._busy and not self._ended.is_set():
                self._lock.wait()
            if not self._runs or self._ended.is_set():
                return None
            self._busy += 1
            return self._runs.popleft()

    def _bring(self, run: _Run) -> None:
        self._transport.persist(
            lambda: self._take(run),
            done=lambda: run.at,
            complete=lambda: run.at >= run.stop or self._ended.is_set(),
        )

    def _take(self, run: _Run) -> None:
        """One request for what is missing of a run."""
        asked = {
            "Range": f"bytes={run.at}-{run.stop - 1}",
            "If-Range": f'"{self._remote.etag}"',
        }
        with self._transport.stream("GET", self._remote.path, headers=asked) as response:
            self._check(response, run)
            if response.status_code != 206 and not self._takes_whole(run):
                run.at = run.stop  # another connection gets all of it
                return
            for piece in response.iter_raw():
                if self._ended.is_set():
                    return
                self._place(piece, run)

    def _check(self, response: httpx.Response, run: _Run) -> None:
        etag = f'"{self._remote.etag}"'
        if response.headers.get("ETag", etag) != etag:
            raise self._replaced(response.headers["ETag"])
        span = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not span.startswith(f"bytes {run.at}-"):
            raise self._replaced(span)

    def _takes_whole(self, run: _Run) -> bool:
        """An answer without ranges is the file from its first byte: one connection is enough."""
        with self._lock:
            if self._whole is not None and self._whole is not run:
                return False
            self._whole = run
            self._runs.clear()
            run.start, run.at, run.stop = 0, 0, self._remote.bytes
            return True

    def _place(self, piece: bytes, run: _Run) -> None:
        if run.at + len(piece) > run.stop:
            raise self._replaced(run.at + len(piece))
        put(self._handle, piece, run.at)
        run.at += len(piece)
        self._journal.add(run.start, run.at)
        if self._on_bytes is not None:
            with self._lock:
                self._there = min(self._remote.bytes, self._there + len(piece))
                self._on_bytes(self._there, self._remote.bytes)

    def _replaced(self, value: object) -> Replaced:
        return Replaced(
            f"{self._remote.path} is not the one in the catalogue",
            value=value,
            remedy="ask for the pack again; it was replaced, or verify it",
        )

    def _hash(self) -> str:
        """The hash of the whole file, if it gets here."""
        state = xxhash.xxh3_128()
        buffer = memoryview(bytearray(PIECE_BYTES))
        for start, stop in self._journal.follow(self._ended):
            os.preadv(self._handle, [buffer[: stop - start]], start)
            state.update(buffer[: stop - start])
        return state.hexdigest()
