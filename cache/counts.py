"""What is counted and only ever grows: attempts, rows, hits, seconds saved.

Each process adds up in memory. A worker hands what came since its last sign of life to the
database, in that transaction, so the sums there go on growing whichever process ends; one that is
killed loses what it counted in those seconds. The service's own sums begin at zero when it starts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from cache.tables import counts

if TYPE_CHECKING:
    from cache.database import Database

Name = Literal[
    "rows_computed", "rows_copied", "attempts", "errors", "hits", "extractions", "seconds_saved"
]
Sums = dict[tuple[str, str], float]
"""(name, label) → sum. Labels: a network, ``kind/outcome``, an error's kind, ``hit`` or ``reuse``;
never a dataset or a team."""


class Counts:
    """Sums of this process. Any thread may add."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: Sums = {}

    def add(self, name: Name, label: str = "", amount: float = 1) -> None:
        with self._lock:
            self._add({(name, label): amount})

    def _add(self, more: Sums) -> None:
        for key, amount in more.items():
            self._sums[key] = self._sums.get(key, 0) + amount

    def sums(self) -> Sums:
        """What was added and not taken."""
        with self._lock:
            return dict(self._sums)

    @contextmanager
    def taken(self) -> Iterator[Sums]:
        """The sums, which begin at zero again; unless the block that keeps them fails."""
        with self._lock:
            taken, self._sums = self._sums, {}
        try:
            yield taken
        except BaseException:
            with self._lock:
                self._add(taken)
            raise


def keep_counts(connection: sa.Connection, database: Database, sums: Sums) -> None:
    """Add to the database's sums; in one order, so that two workers never wait for each other."""
    insert = sqlite.insert if database.is_sqlite else postgresql.insert
    for (name, label), amount in sorted(sums.items()):
        new = insert(counts).values(name=name, label=label, amount=amount)
        more = {"amount": counts.c.amount + new.excluded.amount}
        connection.execute(new.on_conflict_do_update(index_elements=["name", "label"], set_=more))


def kept_counts(connection: sa.Connection) -> Sums:
    rows = connection.execute(sa.select(counts.c.name, counts.c.label, counts.c.amount))
    return {(row.name, row.label): row.amount for row in rows}
