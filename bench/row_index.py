"""Looking for images in the row indexes of many packs: ``python -m bench.row_index``.

Writes packs of one recipe with random content hashes into a temporary folder and times how long it
takes to learn which rows of a dataset they have. The alternative that is measured beside it is one
SQLite table (hash → pack, row) over the same rows.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from cache.dataset import ImageLocation, Manifest
from cache.pack import create, seal
from cache.reuse import find_known
from cache.store import Store

COUNTS = (1_000, 10_000, 100_000, 1_000_000)


def hashes(rows: int, seed: int) -> np.ndarray:
    return np.frombuffer(np.random.default_rng(seed).bytes(16 * rows), np.uint8).reshape(-1, 16)


def manifest_of(hash_NH: np.ndarray) -> Manifest:
    rows = len(hash_NH)
    zero = np.zeros(rows, np.int64)
    location = ImageLocation("folder", "x")
    ids = [""] * rows
    return Manifest(("a",), {"train": (0, rows)}, ids, zero, hash_NH, location, zero, zero)


def fill(store: Store, packs: int, rows: int) -> list[str]:
    ids = [f"pack{number}" for number in range(packs)]
    for number, pack_id in enumerate(ids):
        manifest = manifest_of(hashes(rows, number))
        path = store.building(pack_id)  # a file here, for the bench alone
        create(path, manifest, recipe={}, dataset={}, row_shape=(1,), dtype="float16")
        seal(path, [b"\0" * 16] * -(-rows // 4096), {})
        store.publish_pack(pack_id, path)
    return ids


def fill_table(path: Path, packs: int, rows: int) -> sqlite3.Connection:
    table = sqlite3.connect(path)
    table.execute("CREATE TABLE rows (hash BLOB PRIMARY KEY, pack INT, row INT) WITHOUT ROWID")
    for number in range(packs):
        found = (row.tobytes() for row in hashes(rows, number))
        table.executemany(
            "INSERT OR IGNORE INTO rows VALUES (?, ?, ?)",
            ((key, number, row) for row, key in enumerate(found)),
        )
        table.commit()
    return table


def seconds(do: Callable[[], object], times: int) -> float:
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        measured.append(time.perf_counter() - began)
    return statistics.median(measured)


def look_up(table: sqlite3.Connection, hash_NH: np.ndarray) -> int:
    query = "SELECT pack, row FROM rows WHERE hash = ?"
    found = (table.execute(query, (key.tobytes(),)).fetchone() for key in hash_NH)
    return sum(row is not None for row in found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--packs", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--table-packs", type=int, default=0, help="packs in the SQLite table")
    parser.add_argument("--times", type=int, default=3)
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder)).create()
        ids = fill(store, arguments.packs, arguments.rows)
        table = fill_table(Path(folder) / "t.db", arguments.table_packs, arguments.rows)
        for count in COUNTS:
            # Half of the images are spread over all packs, half are in none.
            known = [hashes(arguments.rows, n)[:: 2 * len(ids)] for n in range(len(ids))]
            half = np.concatenate(known)[: count // 2]
            wanted = np.concatenate([half, hashes(count - len(half), 10**6)])
            wanted = np.random.default_rng(0).permutation(wanted)
            manifest = manifest_of(wanted)
            took = seconds(
                partial(find_known, store, manifest, ids, invalid_too=True), arguments.times
            )
            line = {"images": count, "seconds": round(took, 4)}
            if arguments.table_packs:
                sample = wanted[:10_000]
                rate = len(sample) / seconds(partial(look_up, table, sample), arguments.times)
                line["table_seconds"] = round(count / rate, 4)
            results.append(line)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
