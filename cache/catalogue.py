"""What there is: datasets, packs, heads, checkpoints and workers, as rows.

Rows are published inside the transaction that ends the job which made them, so the ``add_``
methods take that open connection; all others open their own.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from cache.database import Database, datasets, heads, packs, weights, workers
from cache.errors import NotFound
from cache.pages import Page, page_of
from cache.rows import DatasetRow, HeadRow, PackRow, WeightsRow, WorkerRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def _columns(table: sa.Table, cls: type[DataclassInstance]) -> list[sa.Column[Any]]:
    return [table.c[field.name] for field in fields(cls)]


def _select(table: sa.Table, cls: type[DataclassInstance]) -> sa.Select[Any]:
    return sa.select(*_columns(table, cls))


class Catalogue:
    """Queries over what is kept."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def _first(self, query: sa.Select[Any], cls: type[Row]) -> Row | None:
        with self.database.read() as connection:
            row = connection.execute(query).first()
        return cls(**row._mapping) if row else None

    def _all(self, query: sa.Select[Any], cls: type[Row]) -> list[Row]:
        with self.database.read() as connection:
            return [cls(**row._mapping) for row in connection.execute(query)]

    def _page(
        self,
        query: sa.Select[Any],
        table: sa.Table,
        key: str,
        cls: type[Row],
        cursor: str | None,
        limit: int,
    ) -> Page[Row]:
        with self.database.read() as connection:
            return page_of(
                connection,
                query,
                table.c.created,
                table.c[key],
                cursor,
                limit,
                lambda row: cls(**row._mapping),
            )

    # Datasets

    def find_dataset(self, reference: str) -> DatasetRow:
        """``birds`` is the newest version of that name, ``birds@2`` the second. Raises NotFound."""
        name, at, version = reference.rpartition("@")
        query = _select(datasets, DatasetRow).order_by(datasets.c.version.desc())
        if at and version.isdecimal():
            query = query.where(datasets.c.name == name, datasets.c.version == int(version))
        else:
            query = query.where(datasets.c.name == reference)
        found = self._first(query, DatasetRow)
        if found is None:
            raise NotFound(
                f"no dataset {reference!r}",
                value=reference,
                remedy="register it with POST /v1/datasets; GET /v1/datasets lists what there is",
            )
        return found

    def dataset_versions(self, name: str) -> list[DatasetRow]:
        """All versions of a name, newest first; empty if there is none."""
        query = _select(datasets, DatasetRow).where(datasets.c.name == name)
        return self._all(query.order_by(datasets.c.version.desc()), DatasetRow)

    def datasets(self, *, cursor: str | None = None, limit: int = 50) -> Page[DatasetRow]:
        """The newest version of every name."""
        newer = datasets.alias("newer")
        newest = sa.select(sa.func.max(newer.c.version)).where(newer.c.name == datasets.c.name)
        query = _select(datasets, DatasetRow)
        query = query.where(datasets.c.version == newest.scalar_subquery())
        return self._page(query, datasets, "name", DatasetRow, cursor, limit)

    def add_dataset(self, connection: sa.Connection, row: DatasetRow) -> DatasetRow:
        """Keep ``row`` as the next version of its name, unless its newest version has this id."""
        query = _select(datasets, DatasetRow).where(datasets.c.name == row.name)
        newest = connection.execute(query.order_by(datasets.c.version.desc())).first()
        if newest is not None and newest.dataset_id == row.dataset_id:
            return DatasetRow(**newest._mapping)
        values = asdict(row) | {
            "version": 1 if newest is None else newest.version + 1,
            "created": self.database.now,
        }
        statement = sa.insert(datasets).values(values).returning(*_columns(datasets, DatasetRow))
        return DatasetRow(**connection.execute(statement).one()._mapping)

    def delete_dataset(self, name: str) -> list[str]:
        """Forget all versions of a name. The dataset ids that no other name still has."""
        with self.database.write() as connection:
            mine = sa.select(datasets.c.dataset_id).where(datasets.c.name == name)
            ids = set(connection.execute(mine).scalars())
            connection.execute(sa.delete(datasets).where(datasets.c.name == name))
            rest = sa.select(datasets.c.dataset_id).where(datasets.c.dataset_id.in_(ids))
            return sorted(ids - set(connection.execute(rest).scalars()))

    # Packs

    def find_pack(self, pack_id: str) -> PackRow:
        """Raises NotFound."""
        with self.database.read() as connection:
            return self.pack_in(connection, pack_id)

    def has_pack(self, pack_id: str) -> bool:
        query = sa.select(packs.c.pack_id).where(packs.c.pack_id == pack_id)
        with self.database.read() as connection:
            return connection.execute(query).first() is not None

    def pack_in(self, connection: sa.Connection, pack_id: str) -> PackRow:
        """Raises NotFound."""
        query = _select(packs, PackRow).where(packs.c.pack_id == pack_id)
        row = connection.execute(query).first()
        if row is None:
            raise NotFound(
                f"no pack {pack_id!r}",
                value=pack_id,
                remedy="GET /v1/packs lists the packs; POST /v1/jobs asks for one",
            )
        return PackRow(**row._mapping)

    def hit(self, connection: sa.Connection, pack_id: str) -> PackRow | None:
        """The pack, counted as used, if it is there."""
        statement = (
            sa.update(packs)
            .where(packs.c.pack_id == pack_id)
            .values(hits=packs.c.hits + 1, last_used=self.database.now)
            .returning(*_columns(packs, PackRow))
        )
        row = connection.execute(statement).first()
        return PackRow(**row._mapping) if row else None

    def touch_pack(self, pack_id: str) -> None:
        """Note that a pack's rows were read."""
        with self.database.write() as connection:
            self.hit(connection, pack_id)

    def packs(
        self,
        *,
        network: str | None = None,
        dataset: str | None = None,
        recipe_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[PackRow]:
        query = _select(packs, PackRow)
        for column, value in (
            (packs.c.network, network),
            (packs.c.dataset, dataset),
            (packs.c.recipe_id, recipe_id),
        ):
            if value is not None:
                query = query.where(column == value)
        return self._page(query, packs, "pack_id", PackRow, cursor, limit)

    def add_pack(self, connection: sa.Connection, row: PackRow) -> None:
        now = self.database.now
        values = asdict(row) | {"created": now, "last_used": now}
        connection.execute(sa.delete(packs).where(packs.c.pack_id == row.pack_id))
        connection.execute(sa.insert(packs).values(values))

    def delete_pack(self, pack_id: str) -> list[str]:
        """Forget a pack and its heads; the heads' ids. Raises NotFound."""
        self.find_pack(pack_id)
        with self.database.write() as connection:
            of_pack = heads.c.pack_id == pack_id
            gone = list(connection.execute(sa.select(heads.c.head_id).where(of_pack)).scalars())
            connection.execute(sa.delete(heads).where(of_pack))
            connection.execute(sa.delete(packs).where(packs.c.pack_id == pack_id))
        return gone

    # Heads

    def find_head(self, head_id: str) -> HeadRow:
        """Raises NotFound."""
        found = self._first(_select(heads, HeadRow).where(heads.c.head_id == head_id), HeadRow)
        if found is None:
            raise NotFound(
                f"no head {head_id!r}",
                value=head_id,
                remedy="GET /v1/heads lists the heads; POST /v1/heads trains one",
            )
        return found

    def head_in(self, connection: sa.Connection, head_id: str) -> HeadRow | None:
        row = connection.execute(_select(heads, HeadRow).where(heads.c.head_id == head_id)).first()
        return HeadRow(**row._mapping) if row else None

    def heads(
        self, *, pack_id: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> Page[HeadRow]:
        query = _select(heads, HeadRow)
        if pack_id is not None:
            query = query.where(heads.c.pack_id == pack_id)
        return self._page(query, heads, "head_id", HeadRow, cursor, limit)

    def add_head(self, connection: sa.Connection, row: HeadRow) -> None:
        connection.execute(sa.delete(heads).where(heads.c.head_id == row.head_id))
        connection.execute(sa.insert(heads).values(asdict(row) | {"created": self.database.now}))

    # Checkpoints

    def find_weights(self, sha256: str, network: str) -> WeightsRow:
        """Raises NotFound."""
        query = _select(weights, WeightsRow).where(
            weights.c.sha256 == sha256, weights.c.network == network
        )
        found = self._first(query, WeightsRow)
        if found is None:
            raise NotFound(
                f"no checkpoint {sha256!r} for {network}",
                value=sha256,
                remedy="upload it with POST /v1/weights; GET /v1/weights lists what there is",
            )
        return found

    def weights(self, *, cursor: str | None = None, limit: int = 50) -> Page[WeightsRow]:
        return self._page(
            _select(weights, WeightsRow), weights, "sha256", WeightsRow, cursor, limit
        )

    def add_weights(self, connection: sa.Connection, row: WeightsRow) -> None:
        same = sa.and_(weights.c.sha256 == row.sha256, weights.c.network == row.network)
        connection.execute(sa.delete(weights).where(same))
        connection.execute(sa.insert(weights).values(asdict(row) | {"created": self.database.now}))

    # Workers

    def worker_seen(self, worker: str, device: str) -> None:
        now = self.database.now
        with self.database.write() as connection:
            known = sa.update(workers).where(workers.c.worker == worker).values(seen=now)
            if connection.execute(known).rowcount == 0:
                connection.execute(
                    sa.insert(workers).values(worker=worker, device=device, started=now, seen=now)
                )

    def worker_gone(self, worker: str) -> None:
        with self.database.write() as connection:
            connection.execute(sa.delete(workers).where(workers.c.worker == worker))

    def live_workers(self, within_seconds: float) -> list[WorkerRow]:
        """Workers heard of lately, by the database's clock."""
        recent = workers.c.seen >= self.database.now - within_seconds
        return self._all(_select(workers, WorkerRow).where(recent), WorkerRow)
