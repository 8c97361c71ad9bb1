"""Uploads are taken in by a process of its own, which may die of them."""

from __future__ import annotations

import io
import os
import signal
import struct
import time
from pathlib import Path
from typing import Any

import h5py
import pytest

from cache.errors import CorruptData, InvalidRequest, StorageFull, TooLarge, Unavailable
from cache.store import Store
from tests.test_sources import IMAGES, LABELS, npz, upload
from worker import apart
from worker.apart import ingest_apart
from worker.ingest import IngestLimits, ingest


def hdf5_without_end() -> bytes:
    """The free space of its global heap has the size 0, over which HDF5 2.0.0 walks for ever."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file["images"] = IMAGES
        file["labels"] = [str(label) for label in LABELS]
    data = bytearray(buffer.getvalue())
    at = data.index(b"GCOL") + 16
    while (index := struct.unpack_from("<H", data, at)[0]) != 0:
        (size,) = struct.unpack_from("<Q", data, at + 8)
        at += 16 + -(-size // 8) * 8
    assert index == 0
    struct.pack_into("<Q", data, at + 8, 0)
    return bytes(data)


def left(store: Store) -> list[str]:
    return [path.name for path in (store.root / "datasets").iterdir()]


def test_it_gives_what_reading_here_gives(store: Store) -> None:
    spec = upload(store, ("x.npz", npz(images=IMAGES, labels=LABELS)))
    told: list[int] = []
    apart_manifest = ingest_apart(spec, store, IngestLimits(), told.append)
    assert apart_manifest.dataset_id == ingest(spec, store).dataset_id
    assert told[-1] == len(IMAGES)
    assert len(left(store)) == 2


def test_its_errors_are_ours(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="no format") as caught:
        ingest_apart(upload(store, ("x", b"x" * 99)), store, IngestLimits(), lambda _: None)
    assert caught.value.remedy
    assert caught.value.value == "x"
    assert left(store) == []


def test_what_does_not_fit_is_not_kept(store: Store) -> None:
    asked: list[tuple[str, int]] = []

    def fit(dataset_id: str, size: int) -> None:
        asked.append((dataset_id, size))
        raise StorageFull("no room")

    spec = upload(store, ("x.npz", npz(images=IMAGES, labels=LABELS)))
    with pytest.raises(StorageFull):
        ingest_apart(spec, store, IngestLimits(), lambda _: None, fit)
    assert left(store) == []
    manifest = ingest(spec, store)
    assert asked == [(manifest.dataset_id, int(manifest.size_N.sum()))]


def test_an_endless_file_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "CPU_SECONDS", 1)
    spec = upload(store, ("x.h5", hdf5_without_end()))
    began = time.monotonic()
    with pytest.raises((TooLarge, CorruptData)) as caught:
        ingest_apart(spec, store, IngestLimits(), lambda _: None)
    assert caught.value.remedy
    assert time.monotonic() - began < 60
    assert left(store) == []


def test_whoever_is_told_may_end_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    class Enough(Exception):
        pass

    def tell(_: int) -> None:
        raise Enough

    spec = upload(store, ("x.h5", hdf5_without_end()))
    with pytest.raises(Enough):
        ingest_apart(spec, store, IngestLimits(), tell)
    assert left(store) == []


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGSEGV, CorruptData), (signal.SIGKILL, Unavailable)]
)
def test_a_crash_has_a_name(store: Store, number: signal.Signals, kind: type[Exception]) -> None:
    def crash(_: int) -> None:
        for status in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = status.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[1] == server:
                os.kill(int(status.parent.name), number)

    from multiprocessing.forkserver import _forkserver  # type: ignore[attr-defined]

    ingest_apart(upload(store, ("x", npz(images=IMAGES))), store, IngestLimits(), lambda _: None)
    server = str(_forkserver._forkserver_pid)
    spec: dict[str, Any] = upload(store, ("x.h5", hdf5_without_end()))
    with pytest.raises(kind) as caught:
        ingest_apart(spec, store, IngestLimits(), crash)
    if number == signal.SIGSEGV:
        assert "SIGSEGV" in str(caught.value)
