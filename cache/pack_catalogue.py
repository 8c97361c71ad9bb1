"""The catalogue's packs: found, answered, pinned, marked as damaged, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import sqlalchemy as sa

from cache.errors import Conflict, CorruptData, FeaturepackError, NotFound
from cache.ledger import credit_hit
from cache.pack_listing import (
    BestHead,
    PackFilter,
    PackPage,
    PackSort,
    listed_values,
    order_of,
)
from cache.pages import page_of
from cache.queries import Queries, columns, select
from cache.rows import PackRow
from cache.sight import EVERYTHING, Sight
from cache.store import Store
from cache.tables import heads, packs

_KEPT_WHEN_REBUILT = ("hits", "pinned")
"""What belongs to the pack and not to the file that was built."""


class PackCatalogue(Queries):
    """Rows of the table ``packs``. A pack with a ``problem`` is quarantined: never served."""

    def find_pack(self, pack_id: str, sight: Sight) -> PackRow:
        """Sound or quarantined. Raises NotFound."""
        with self.database.read() as connection:
            return self.pack_in(connection, pack_id, sight)

    def find_sound_pack(self, pack_id: str, sight: Sight) -> PackRow:
        """A pack whose rows may be used.

        Raises:
            NotFound: no such pack.
            Conflict: it was found damaged and is quarantined.
        """
        row = self.find_pack(pack_id, sight)
        if row.problem is not None:
            raise Conflict(
                f"pack {pack_id} is quarantined: {row.problem['detail']}",
                value=pack_id,
                remedy="import its files again"
                if row.imported
                else "submit the pair again with POST /v1/jobs: the pack is built anew",
            )
        return row

    def has_pack(self, pack_id: str, sight: Sight) -> bool:
        """Whether there is such a pack, and it is not quarantined."""
        query = sa.select(packs.c.pack_id).where(sight.of(packs))
        query = query.where(packs.c.pack_id == pack_id, packs.c.problem.is_(None))
        with self.database.read() as connection:
            return connection.execute(query).first() is not None

    def pack_in(self, connection: sa.Connection, pack_id: str, sight: Sight) -> PackRow:
        """Raises NotFound."""
        row = self._pack(connection, pack_id, sight)
        if row is None:
            raise NotFound(
                f"no pack {pack_id!r}",
                value=pack_id,
                remedy="GET /v1/packs lists the packs; POST /v1/jobs asks for one",
            )
        return row

    def _pack(self, connection: sa.Connection, pack_id: str, sight: Sight) -> PackRow | None:
        query = select(packs, PackRow).where(packs.c.pack_id == pack_id, sight.of(packs))
        row = connection.execute(query).first()
        return PackRow(**row._mapping) if row else None

    def hit(
        self, connection: sa.Connection, pack_id: str, store: Store, team: str | None
    ) -> PackRow | None:
        """The pack, counted as used by a team, if it is there and its file can be whole.

        A file that is missing or has another size is quarantined at once: should it stay in its
        place, the job that builds the pack anew would take it for the work of an attempt before.

        Raises:
            Unavailable: the store is gone.
        """
        row = self._pack(connection, pack_id, EVERYTHING)  # its id names its space
        if row is None or row.problem is not None:
            return None
        if not store.holds_pack(pack_id, row.bytes):
            error = CorruptData(
                f"the file of pack {pack_id} is gone or has not its {row.bytes} bytes",
                value=pack_id,
                remedy="submit the pair again",
            )
            if self.mark_damaged(connection, pack_id, error, row.etag):
                store.quarantine_pack(pack_id)
            return None
        credit_hit(connection, self.database, pack_id, team)
        used = {"hits": packs.c.hits + 1, "last_used": self.database.now}
        hit = self._change(connection, pack_id, used)
        query = sa.select(packs.c.row_seconds).where(packs.c.pack_id == pack_id)
        seconds = connection.execute(query).scalar() or 0.0
        self.database.counts.add("hits")
        self.database.counts.add("seconds_saved", "hit", row.rows * seconds)
        return hit

    def touch_pack(self, pack_id: str) -> None:
        """Note that a pack's rows were read just now: it will not be evicted for a while."""
        with self.database.write(durable=False) as connection:
            self._change(connection, pack_id, {"last_used": self.database.now})

    def pin_pack(self, pack_id: str, pinned: bool) -> PackRow:
        """A pinned pack is never evicted. Raises NotFound."""
        with self.database.write() as connection:
            row = self._change(connection, pack_id, {"pinned": pinned})
        return row or self.find_pack(pack_id, EVERYTHING)

    def _change(
        self, connection: sa.Connection, pack_id: str, values: dict[str, Any]
    ) -> PackRow | None:
        statement = sa.update(packs).where(packs.c.pack_id == pack_id).values(values)
        row = connection.execute(statement.returning(*columns(packs, PackRow))).first()
        return PackRow(**row._mapping) if row else None

    def mark_damaged(
        self,
        connection: sa.Connection,
        pack_id: str,
        error: FeaturepackError,
        etag: str | None = None,
    ) -> bool:
        """Keep ``error`` as the pack's problem. False if there is no such sound pack.

        With ``etag``, only the file that was looked at is meant, and not one built since.
        """
        sound = sa.and_(packs.c.pack_id == pack_id, packs.c.problem.is_(None))
        statement = sa.update(packs).where(sound)
        if etag is not None:
            statement = statement.where(packs.c.etag == etag)
        return connection.execute(statement.values(problem=error.as_dict())).rowcount == 1

    def packs(
        self,
        sight: Sight,
        wanted: PackFilter = PackFilter(),  # noqa: B008 - frozen
        *,
        sort: PackSort = "created",
        descending: bool = True,
        cursor: str | None = None,
        limit: int = 50,
    ) -> PackPage:
        """A page of the packs that are wanted, quarantined ones among them.

        Raises:
            InvalidRequest: the cursor is of another order.
        """
        where = [sight.of(packs), *wanted.clauses()]
        order = order_of(sort, descending)
        query = select(packs, PackRow).where(*where)
        if sort == "accuracy":
            query = query.add_columns(order.value)
        count = sa.select(sa.func.count()).select_from(packs).where(*where)
        with self.database.read() as connection:
            page = page_of(connection, query, order, cursor, limit, _row_of)
            total = connection.execute(count).scalar_one()
        return PackPage(page.items, page.next_cursor, total)

    def best_heads(self, pack_ids: Sequence[str]) -> dict[str, BestHead]:
        """Of each pack that has one, the head of the highest accuracy; of equal ones the oldest."""
        query = sa.select(heads.c.pack_id, heads.c.head_id, heads.c.method, heads.c.accuracy).where(
            heads.c.pack_id.in_(pack_ids), heads.c.accuracy.is_not(None)
        )
        worst_first = query.order_by(heads.c.accuracy, heads.c.created.desc(), heads.c.head_id)
        with self.database.read() as connection:
            return {
                row.pack_id: BestHead(row.head_id, row.method, row.accuracy)
                for row in connection.execute(worst_first)
            }

    def relatives(self, recipe_id: str, sight: Sight) -> list[PackRow]:
        """Sound packs of a recipe, newest first: their rows may be copied into another one."""
        query = select(packs, PackRow).where(
            packs.c.recipe_id == recipe_id, packs.c.problem.is_(None), sight.of(packs)
        )
        return self._all(query.order_by(packs.c.created.desc(), packs.c.pack_id), PackRow)

    def add_pack(self, connection: sa.Connection, row: PackRow) -> float:
        """Keep a published pack. One that is built anew keeps its hits and its pin.

        The seconds that copying rows from other packs saved.
        """
        now = self.database.now
        values = asdict(row) | {"created": now, "last_used": now, "problem": None}
        listed = listed_values(connection, row)
        values |= listed
        again = {name: value for name, value in values.items() if name not in _KEPT_WHEN_REBUILT}
        if self._change(connection, row.pack_id, again) is None:
            connection.execute(sa.insert(packs).values(values))
        return float(listed["rows_copied"] * (listed["row_seconds"] or 0.0))

    def forget_pack(self, connection: sa.Connection, pack_id: str) -> list[str]:
        """Forget a pack and its heads; the heads' ids. Raises NotFound."""
        self.pack_in(connection, pack_id, EVERYTHING)
        forgotten = sa.delete(heads).where(heads.c.pack_id == pack_id).returning(heads.c.head_id)
        head_ids = list(connection.execute(forgotten).scalars())
        connection.execute(sa.delete(packs).where(packs.c.pack_id == pack_id))
        return head_ids


_FIELDS = tuple(field.name for field in fields(PackRow))


def _row_of(row: sa.Row[Any]) -> PackRow:
    return PackRow(**{name: row._mapping[name] for name in _FIELDS})
