"""The sweep: what crashes, cancellations and lost databases left in the store goes or comes back.

Two looks make it safe beside live workers and services, and beside another sweep. The first, at
the files and then at the database, finds what nothing seems to need. If there is any, the second
looks at the database again in a transaction during which no job is submitted, claimed or ended;
what is still not needed gets a hidden name, its rows go, and after the commit it is deleted.
Files are looked at before rows, because whatever is published has its file first.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.errors import Unavailable
from cache.leftovers import Known, Leftovers, Search, look_at_database
from cache.listing import Listing, hidden_name, list_store
from cache.locks import unused
from cache.recovery import Stopped, row_of_file
from cache.store import FOLDERS, Store
from cache.tables import datasets, heads, packs, shards, weights

log = logging.getLogger("featurepack.cache")

IDS_AT_ONCE: Final = 500
"""Ids in one statement: a database takes only so many."""


@dataclass(frozen=True)
class Swept:
    """What a sweep did: paths below the store, rows as ``table/id``, ids of packs."""

    removed: list[str]
    forgotten: list[str]
    recovered: list[str]

    def __bool__(self) -> bool:
        return bool(self.removed or self.forgotten or self.recovered)


def sweep(
    catalogue: Catalogue,
    store: Store,
    keep_seconds: float,
    stopping: Callable[[], bool] = lambda: False,
) -> Swept:
    """Put back packs that the database does not know, and clear what nothing needs.

    Unfinished work goes ``keep_seconds`` after it was last written to. ``stopping`` may end the
    search for lost packs early.

    Raises:
        Conflict: the database belongs to another store; nothing was done.
        Unavailable: the database or the store is away.
    """
    bind_store(catalogue.database, store)
    listing = list_store(store)
    with catalogue.database.read() as connection:
        known = look_at_database(connection)
    recovered, damaged = _recover(catalogue, store, listing, known, stopping)
    search = Search(store, listing, known, keep_seconds, damaged, frozenset())
    removed, forgotten = _clear(catalogue, search) if search.leftovers() else ([], [])
    swept = Swept(removed, forgotten, recovered)
    if swept:
        names = map(_few, (removed, forgotten, recovered))
        log.info("swept: removed %s; forgot %s; put back %s", *names)
    return swept


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "nothing"


def _recover(
    catalogue: Catalogue,
    store: Store,
    listing: Listing,
    known: Known,
    stopping: Callable[[], bool],
) -> tuple[list[str], frozenset[str]]:
    """Give packs without a row, on which no job works, their row back; and which are damaged."""
    recovered, damaged = [], []
    for pack_id in sorted(listing.packs.keys() - known.packs - known.active.pack_ids):
        path = store.pack(pack_id)
        try:
            seen = path.stat()
            row = row_of_file(path, stopping)
            if row is None:
                damaged.append(pack_id)
                continue
            with catalogue.database.write() as connection:
                _hold_queue(connection, catalogue)
                again = look_at_database(connection)
                free = pack_id not in again.packs | again.active.pack_ids
                if free and os.path.samestat(seen, path.stat()):
                    catalogue.add_pack(connection, row)
                    recovered.append(pack_id)
        except Stopped:
            break
        except FileNotFoundError:
            continue  # a job took it up, or it was evicted
        except Unavailable as error:
            log.warning("pack %s is not put back: %s", pack_id, error.message)
    return recovered, frozenset(damaged)


def _clear(catalogue: Catalogue, first: Search) -> tuple[list[str], list[str]]:
    """The second look, and what follows from it: removed paths, forgotten rows."""
    store = first.store
    hidden: dict[Path, Path] = {}
    with ExitStack() as held:
        connection = held.enter_context(catalogue.database.write())
        _hold_queue(connection, catalogue)
        busy = frozenset(n for n in FOLDERS if not held.enter_context(unused(store.root / n)))
        known = look_at_database(connection)
        found = Search(
            store, first.listing, known, first.keep_seconds, first.damaged, busy
        ).leftovers()
        for path in found.files:
            _hide(path, hidden)
        forgotten = _forget(connection, found)
    for beside in hidden.values():
        _delete(beside)
    return sorted(str(path.relative_to(store.root)) for path in hidden), forgotten


def _hold_queue(connection: sa.Connection, catalogue: Catalogue) -> None:
    """Nobody submits, claims or ends a job until the transaction ends; on SQLite nobody can."""
    if not catalogue.database.is_sqlite:
        # While this waits, others wait behind it: so not for long, the next sweep tries again.
        connection.execute(sa.text("SET LOCAL lock_timeout = '5s'"))
        connection.execute(sa.text("LOCK TABLE jobs IN SHARE MODE"))


def _hide(path: Path, hidden: dict[Path, Path]) -> None:
    beside = hidden_name(path)  # a new one for hidden files too: one of two sweeps gets it
    try:
        os.replace(path, beside)
    except FileNotFoundError:
        return
    hidden[path] = beside


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _forget(connection: sa.Connection, found: Leftovers) -> list[str]:
    """Delete the rows; what they were."""
    forgotten = []
    for key, ids, where in (
        (packs.c.pack_id, found.packs, packs.c.problem.is_(None)),
        (packs.c.pack_id, found.quarantined, packs.c.problem.is_not(None)),
        (datasets.c.dataset_id, found.datasets, sa.true()),
        (heads.c.head_id, found.heads, sa.true()),
        (weights.c.sha256, found.weights, sa.true()),
        (shards.c.pack_id, found.shards, sa.true()),
    ):
        ordered = sorted(ids)
        for first in range(0, len(ordered), IDS_AT_ONCE):
            some = ordered[first : first + IDS_AT_ONCE]
            connection.execute(sa.delete(key.table).where(key.in_(some), where))
        forgotten += [f"{key.table.name}/{each}" for each in ordered]
    return forgotten
