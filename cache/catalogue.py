"""What there is: datasets, packs, heads, checkpoints and workers, as rows.

Rows are published inside the transaction that ends the job which made them, so the ``add_``
methods take that open connection; all others open their own. Packs have most to tell:
:mod:`cache.pack_catalogue`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType

import sqlalchemy as sa

from cache.counts import keep_counts
from cache.errors import Conflict, NotFound
from cache.pack_catalogue import PackCatalogue
from cache.pages import Page
from cache.queries import columns, select
from cache.rows import DatasetRow, HeadRow, WeightsRow, WorkerRow
from cache.sight import Sight
from cache.signs import DeviceMemory, LaneSign, kept_signs
from cache.tables import datasets, heads, weights, workers


class Catalogue(PackCatalogue):
    """Queries over what is kept."""

    # Datasets

    def find_dataset(self, reference: str, sight: Sight) -> DatasetRow:
        """``birds`` is the newest version of that name, ``birds@2`` the second. Raises NotFound.

        A name may be in one's own space and in the shared one: one's own is meant.
        """
        name, at, version = reference.rpartition("@")
        query = select(datasets, DatasetRow).where(sight.of(datasets))
        query = query.order_by(sight.nearest(datasets), datasets.c.space, datasets.c.version.desc())
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

    def dataset_versions(self, space: str, name: str) -> list[DatasetRow]:
        """All versions of a name, newest first; empty if there is none."""
        query = select(datasets, DatasetRow).where(*_named(space, name))
        return self._all(query.order_by(datasets.c.version.desc()), DatasetRow)

    def datasets(
        self, sight: Sight, *, cursor: str | None = None, limit: int = 50
    ) -> Page[DatasetRow]:
        """The newest version of every name."""
        newer = datasets.alias("newer")
        newest = sa.select(sa.func.max(newer.c.version)).where(
            newer.c.name == datasets.c.name, newer.c.space == datasets.c.space
        )
        query = select(datasets, DatasetRow).where(sight.of(datasets))
        query = query.where(datasets.c.version == newest.scalar_subquery())
        return self._page(query, datasets, "name", DatasetRow, cursor, limit)

    def add_dataset(self, connection: sa.Connection, row: DatasetRow) -> DatasetRow:
        """Keep ``row`` as the next version of its name, unless its newest version has this id.

        Raises:
            Conflict: another team took the name meanwhile.
        """
        query = select(datasets, DatasetRow).where(*_named(row.space, row.name))
        newest = connection.execute(query.order_by(datasets.c.version.desc())).first()
        if newest is not None and newest.team != row.team:
            raise Conflict(
                f"another team has registered dataset {row.name!r} meanwhile",
                value=row.name,
                remedy="choose another name",
            )
        if newest is not None and newest.dataset_id == row.dataset_id:
            return DatasetRow(**newest._mapping)
        values = asdict(row) | {
            "version": 1 if newest is None else newest.version + 1,
            "created": self.database.now,
        }
        statement = sa.insert(datasets).values(values).returning(*columns(datasets, DatasetRow))
        return DatasetRow(**connection.execute(statement).one()._mapping)

    def delete_dataset(self, space: str, name: str) -> list[str]:
        """Forget all versions of a name. The dataset ids that no other name still has."""
        with self.database.write() as connection:
            mine = sa.select(datasets.c.dataset_id).where(*_named(space, name))
            ids = set(connection.execute(mine).scalars())
            connection.execute(sa.delete(datasets).where(*_named(space, name)))
            rest = sa.select(datasets.c.dataset_id).where(datasets.c.dataset_id.in_(ids))
            return sorted(ids - set(connection.execute(rest).scalars()))

    # Heads

    def find_head(self, head_id: str, sight: Sight) -> HeadRow:
        """Raises NotFound."""
        query = select(heads, HeadRow).where(heads.c.head_id == head_id, sight.of(heads))
        found = self._first(query, HeadRow)
        if found is None:
            raise NotFound(
                f"no head {head_id!r}",
                value=head_id,
                remedy="GET /v1/heads lists the heads; POST /v1/heads trains one",
            )
        return found

    def head_in(self, connection: sa.Connection, head_id: str) -> HeadRow | None:
        row = connection.execute(select(heads, HeadRow).where(heads.c.head_id == head_id)).first()
        return HeadRow(**row._mapping) if row else None

    def forget_head(self, head_id: str) -> None:
        with self.database.write() as connection:
            connection.execute(sa.delete(heads).where(heads.c.head_id == head_id))

    def heads(
        self,
        sight: Sight,
        *,
        pack_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[HeadRow]:
        """Newest first."""
        query = select(heads, HeadRow).where(sight.of(heads))
        if pack_id is not None:
            query = query.where(heads.c.pack_id == pack_id)
        return self._page(query, heads, "head_id", HeadRow, cursor, limit)

    def add_head(self, connection: sa.Connection, row: HeadRow) -> None:
        connection.execute(sa.delete(heads).where(heads.c.head_id == row.head_id))
        kept = {"created": self.database.now, "accuracy": row.metrics.get("validation_accuracy")}
        connection.execute(sa.insert(heads).values(asdict(row) | kept))

    # Checkpoints

    def find_weights(self, sha256: str, network: str) -> WeightsRow:
        """Raises NotFound."""
        query = select(weights, WeightsRow).where(
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
        return self._page(select(weights, WeightsRow), weights, "sha256", WeightsRow, cursor, limit)

    def add_weights(self, connection: sa.Connection, row: WeightsRow) -> None:
        """Keep a checkpoint; one that another team uploaded before stays theirs, as it is."""
        same = sa.and_(weights.c.sha256 == row.sha256, weights.c.network == row.network)
        connection.execute(
            sa.delete(weights).where(same, weights.c.team.is_not_distinct_from(row.team))
        )
        if connection.execute(sa.select(weights.c.sha256).where(same)).first() is not None:
            return
        connection.execute(sa.insert(weights).values(asdict(row) | {"created": self.database.now}))

    # Workers

    def worker_seen(
        self,
        worker: str,
        device: str,
        machine: str = "",
        byte_limit: int | None = None,
        lanes: Mapping[str, LaneSign] = MappingProxyType({}),
        memory: Sequence[DeviceMemory] = (),
    ) -> None:
        """A sign of life; what this process counted since the last one is kept with it."""
        counts = self.database.counts
        with counts.taken() as sums, self.database.write(durable=False) as connection:
            keep_counts(connection, self.database, sums)
            now = self.database.time(connection)
            facts = {"device": device, "machine": machine, "seen": now, "byte_limit": byte_limit}
            facts |= kept_signs(lanes, memory, now)
            known = sa.update(workers).where(workers.c.worker == worker).values(facts)
            if connection.execute(known).rowcount == 0:
                new = facts | {"worker": worker, "started": now}
                connection.execute(sa.insert(workers).values(new))

    def worker_gone(self, worker: str) -> None:
        """It ends; what it counted stays."""
        with self.database.counts.taken() as sums, self.database.write() as connection:
            keep_counts(connection, self.database, sums)
            connection.execute(sa.delete(workers).where(workers.c.worker == worker))

    def live_workers(self, within_seconds: float) -> list[WorkerRow]:
        """Workers heard of lately, by the database's clock."""
        recent = workers.c.seen >= self.database.now - within_seconds
        return self._all(select(workers, WorkerRow).where(recent), WorkerRow)


def _named(space: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return datasets.c.space == space, datasets.c.name == name
