"""A file of the service → a file here: several connections, each going on where it broke.

Bytes go from the connection into their place in the file; nothing else holds them. A thread of
its own hashes behind them, so that the file's hash is there when its last byte is.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import httpx
import xxhash

from featurepack.errors import CorruptData, FeaturepackError
from featurepack.local.disk import allocated, put
from featurepack.local.journal import PIECE_BYTES, Journal
from featurepack.local.runs import Run, Runs
from featurepack.transport import Transport, may_pass
from featurepack.wire import Piece, body

CONNECTIONS = 4
ALONE_SECONDS = 0.25
FAST = 256 << 20
"""A connection with so many bytes a second (2 Gbit) is not the one that limits: others beside it
would only share the processor with it. Whether it is so fast is seen after a moment alone."""

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
        self._runs = Runs(journal.missing(), PIECE_BYTES)
        self._there = journal.bytes_done
        self._lock = threading.Lock()
        self._connections = 0

    def run(self) -> str:
        with ThreadPoolExecutor(CONNECTIONS + 1, "featurepack") as pool:
            hashing = pool.submit(self._hash)
            try:
                if len(self._runs) <= 1:  # a client of one thread is asked by this one
                    self._work()
                else:
                    self._together(pool)
            except BaseException:
                self._runs.end()
                self._journal.write()
                raise
            return hashing.result()

    def _together(self, pool: ThreadPoolExecutor) -> None:
        """One connection, and others beside it if it is slow; the first failure ends all."""
        before = self._there
        left = {pool.submit(self._work)}
        done, _ = wait(left, ALONE_SECONDS)
        if not done and self._there - before < FAST * ALONE_SECONDS:
            left |= {pool.submit(self._work) for _ in range(CONNECTIONS - 1)}
        while left:
            done, left = wait(left, return_when="FIRST_EXCEPTION")
            for one in done:
                one.result()

    def _work(self) -> None:
        """Bring one run after the other.

        One of several connections may be refused for good: then it leaves its run to the others.
        """
        with self._lock:
            self._connections += 1
        while (run := self._runs.take()) is not None:
            try:
                self._bring(run)
            except FeaturepackError as failure:
                with self._lock:
                    self._connections -= 1
                    if not (self._connections and may_pass(failure)):
                        raise
                return
            finally:
                self._runs.leave(run)

    def _bring(self, run: Run) -> None:
        self._transport.persist(
            lambda: self._take(run),
            done=lambda: run.at,
            complete=lambda: run.at >= run.stop or self._runs.ended.is_set(),
        )

    def _take(self, run: Run) -> None:
        """One request for what is missing of a run, and for what it may grow by."""
        asked = {
            "Range": f"bytes={run.at}-{self._runs.reach(run) - 1}",
            "If-Range": f'"{self._remote.etag}"',
        }
        with self._transport.stream("GET", self._remote.path, headers=asked) as response:
            self._check(response, run)
            ranged = response.status_code == 206
            if not ranged and not self._runs.be_whole(run, self._remote.bytes):
                run.at = run.stop  # another connection gets all of it
                return
            for piece in body(response):
                if self._runs.ended.is_set() or not self._place(piece, run):
                    return

    def _check(self, response: httpx.Response, run: Run) -> None:
        etag = f'"{self._remote.etag}"'
        if response.headers.get("ETag", etag) != etag:
            raise self._replaced(response.headers["ETag"])
        span = response.headers.get("Content-Range", "")
        if response.status_code == 206 and not span.startswith(f"bytes {run.at}-"):
            raise self._replaced(span)

    def _place(self, piece: Piece, run: Run) -> bool:
        """Put bytes in their place; False if the rest of the answer is another connection's."""
        stop = run.at + len(piece)
        while stop > run.stop and self._runs.grow(run):
            pass
        mine = memoryview(piece)[: run.stop - run.at]
        put(self._handle, mine, run.at)
        begun = max(run.start, run.at - run.at % PIECE_BYTES)
        run.at += len(mine)
        self._journal.add(begun, run.at)
        with self._lock:
            self._there = min(self._remote.bytes, self._there + len(mine))
            if self._on_bytes is not None:
                self._on_bytes(self._there, self._remote.bytes)
        return stop < run.stop or self._runs.grow(run)

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
        for start, stop in self._journal.follow(self._runs.ended):
            os.preadv(self._handle, [buffer[: stop - start]], start)
            state.update(buffer[: stop - start])
        return state.hexdigest()
