"""Transfers through real sockets: many at once, clients that stall, vanish or read slowly."""

from __future__ import annotations

import platform
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import httpx
import numpy as np
import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.eviction import evict
from cache.locks import unused
from cache.store import Store
from tests.keeping import keep_real_pack
from tests.processes import ROOT, free_port, insist, process, wait_until
from tests.test_eviction import make_idle

MIB = 1 << 20
ROWS, WIDTH = 25_600, 2048  # 200 MiB


@dataclass(frozen=True)
class Server:
    running: subprocess.Popen[bytes]
    port: int
    http: httpx.Client

    @property
    def memory(self) -> int:
        """Bytes that are its own; pages of the pack's file are the system's."""
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        found = re.search(r"RssAnon:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    @property
    def resident(self) -> int:
        status = Path(f"/proc/{self.running.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024

    @property
    def has_read(self) -> int:
        """Bytes that it read from files so far."""
        return int(Path(f"/proc/{self.running.pid}/io").read_text().split()[1])

    def ask(self, path: str) -> socket.socket:
        """A request on a socket of its own; nothing of the answer is read."""
        client = socket.create_connection(("127.0.0.1", self.port))
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        )
        return client


@contextmanager
def server(store: Store, **settings: str) -> Iterator[Server]:
    port = free_port()
    with (
        process("service", store, "--port", str(port), **settings) as running,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http,
    ):
        insist(http, "GET", "/healthz")
        yield Server(running, port, http)


@dataclass(frozen=True)
class Big:
    store: Store
    pack_id: str
    path: Path
    features: np.ndarray

    @property
    def base(self) -> str:
        return f"/v1/packs/{self.pack_id}"

    @property
    def is_read(self) -> bool:
        with unused(self.path) as free:
            return not free


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Big:
    root = tmp_path_factory.mktemp("big")
    store = Store(root / "store", root).create()
    database = Database(store.database_url)
    database.migrate()
    pack_id, features = keep_real_pack(Catalogue(database), store, rows=ROWS, width=WIDTH)
    database.close()
    return Big(store, pack_id, store.pack(pack_id), features)


def drain(client: socket.socket) -> bytearray:
    """What is left of an answer that began long ago."""
    received = bytearray()
    with client:
        while piece := client.recv(MIB):
            received += piece
    return received


def body(answer: bytearray) -> bytearray:
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 20"), head[:200]
    return content


def test_a_client_that_stalls_is_dropped(big: Big) -> None:
    with server(big.store, stall_seconds="1") as served:
        served.http.get(f"{big.base}/labels")
        before = served.memory
        stalled = [served.ask(f"{big.base}/file") for _ in range(6)]
        stalled += [served.ask(f"{big.base}/features?sample=20000") for _ in range(2)]
        wait_until(lambda: big.is_read, 5)
        for start in range(50):
            part = served.http.get(f"{big.base}/features?start={start}&stop={start + 100}")
            assert part.content == big.features[start : start + 100].tobytes()
        assert served.memory - before < 90 * MIB
        wait_until(lambda: not big.is_read, 10, "the pack is held for clients that do not read")
        wait_until(lambda: connections(served.port) <= 1, 10, "connections stay")
        for client in stalled:
            with pytest.raises(OSError, match="reset"):
                drain(client)


def connections(port: int) -> int:
    """Established connections of the server's side."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    places = [line.split()[1:4] for line in lines]
    mine = f"0100007F:{port:04X}"
    return sum(local == mine and state in ("01", "04", "05") for local, _, state in places)


def test_a_client_that_reads_slowly_is_not(big: Big) -> None:
    """It takes something within every second, though in all longer than one."""
    with server(big.store, stall_seconds="1") as served:
        served.http.get(f"{big.base}/labels")
        before, highest, received = served.memory, 0, bytearray()
        with served.ask(f"{big.base}/file") as client:
            while piece := client.recv(4 * MIB):
                received += piece
                highest = max(highest, served.memory)
                if len(received) < 60 * MIB:
                    time.sleep(0.08)
        assert body(received) == big.path.read_bytes()
        assert highest - before < 24 * MIB


def test_a_client_that_vanishes_costs_nothing_further(big: Big) -> None:
    with server(big.store) as served:
        for path in ("file", "features?format=npz", "features?sample=20000"):
            before = served.has_read
            client = served.ask(f"{big.base}/{path}")
            assert client.recv(100)
            assert big.is_read
            client.close()
            wait_until(lambda: not big.is_read, 5, "the pack is held for nobody")
            assert served.has_read - before < 60 * MIB, "all of it was read for nobody"


@pytest.mark.parametrize("how", ["deleted", "evicted"])
def test_a_pack_that_goes_is_sent_to_its_end(tmp_path: Path, how: str) -> None:
    store = Store(tmp_path / "store", tmp_path).create()
    database = Database(store.database_url)
    database.migrate()
    catalogue = Catalogue(database)
    pack_id, _ = keep_real_pack(catalogue, store, rows=3000, width=WIDTH)
    whole = store.pack(pack_id).read_bytes()
    with server(store) as served:
        client = served.ask(f"/v1/packs/{pack_id}/file")
        received = bytearray(client.recv(MIB))
        make_idle(catalogue, pack_id)
        if how == "deleted":
            assert served.http.delete(f"/v1/packs/{pack_id}").status_code == 204
        else:
            assert not evict(catalogue, store, pack_id), "it is being read"
        received += drain(client)
        assert body(received) == whole
        if how == "evicted":
            wait_until(lambda: evict(catalogue, store, pack_id), 10)
        assert served.http.get(f"/v1/packs/{pack_id}/features?stop=1").status_code == 404
        assert served.http.get(f"/v1/packs/{pack_id}/file").status_code == 404
    database.close()


def test_more_than_may_be_at_once_is_told_to_wait(big: Big) -> None:
    with server(big.store, large_transfers="2") as served:
        held = [served.ask(f"{big.base}/file") for _ in range(2)]
        assert all(client.recv(1) for client in held)
        for path in ("file", "features", "features?format=json&stop=100"):
            refused = served.http.get(f"{big.base}/{path}")
            assert refused.status_code == 429
            assert refused.headers["content-type"] == "application/problem+json"
            assert refused.headers["retry-after"] == "1"
            assert refused.json()["type"] == "urn:featurepack:problem:busy"
            assert "FEATUREPACK_LARGE_TRANSFERS" in refused.json()["remedy"]
        assert served.http.get(f"{big.base}/features?stop=100").status_code == 200
        assert served.http.head(f"{big.base}/file").status_code == 200
        held.pop().close()
        wait_until(lambda: served.http.get(f"{big.base}/features?stop=1000").is_success, 10)
        held.pop().close()


def test_sixteen_clients_at_once(big: Big) -> None:
    counts = [0] * 16
    errors: list[BaseException] = []
    with h5py.File(big.path) as file:
        labels = file["labels"][:]

    def work(number: int, served: Server) -> None:
        random = np.random.default_rng(number)
        with httpx.Client(base_url=served.http.base_url, timeout=60) as http:
            while time.monotonic() < deadline:
                step(random, http)
                counts[number] += 1

    def step(random: np.random.Generator, http: httpx.Client) -> None:
        start = int(random.integers(ROWS - 2000))
        kind = random.integers(4)
        if kind == 0:
            stop = start + int(random.choice([1, 100, 2000]))
            reply = http.get(f"{big.base}/features?start={start}&stop={stop}")
            wanted = big.features[start:stop].tobytes()
        elif kind == 1:
            rows = random.integers(ROWS, size=100)
            reply = http.post(f"{big.base}/rows", json={"rows": rows.tolist()})
            wanted = big.features[rows].tobytes()
        elif kind == 2:
            span = f"bytes={start * 1000}-{start * 1000 + 5_000_000}"
            reply = http.get(f"{big.base}/file", headers={"Range": span})
            wanted = reply.content
            assert len(wanted) == 5_000_001
        else:
            reply = http.get(f"{big.base}/labels")
            wanted = labels.tobytes()
        assert reply.is_success, reply.text
        assert reply.content == wanted

    def guarded(number: int, served: Server) -> None:
        try:
            work(number, served)
        except BaseException as error:
            errors.append(error)

    with server(big.store) as served:
        served.http.get(f"{big.base}/features?stop=2000")
        before = served.resident
        deadline = time.monotonic() + 4
        with ThreadPoolExecutor(16) as pool:
            for number in range(16):
                pool.submit(guarded, number, served)
        assert not errors, errors[:3]
        assert min(counts) > 0
        assert served.resident - before < 120 * MIB


HEAPS = """
import ctypes, threading
from service.allocator import one_heap
one_heap()
libc, start = ctypes.CDLL(None), threading.Barrier(8)
libc.malloc.restype = libc.fdopen.restype = ctypes.c_void_p
def work():
    start.wait()
    libc.malloc(100_000)
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
libc.malloc_info(0, ctypes.c_void_p(out := libc.fdopen(1, b"w")))
libc.fflush(ctypes.c_void_p(out))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc has heaps for each thread")
def test_all_threads_share_one_heap() -> None:
    told = subprocess.run([sys.executable, "-c", HEAPS], capture_output=True, text=True, cwd=ROOT)
    assert told.stdout.count("<heap nr=") == 1, told.stderr
