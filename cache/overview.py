"""Totals of what is kept and of what is going on, by a few statements that read no JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from cache.database import Database
from cache.queries import Queries
from cache.sight import Sight
from cache.tables import datasets, heads, jobs, packs


@dataclass(frozen=True)
class PackTotals:
    """Of all packs that are there now; seconds are of extraction that was not done.

    A hit saved what the whole pack would take, a copied row what one row takes, both at the rate at
    which the pack's own rows were computed. Packs of which no rate is known count nothing.
    """

    packs: int
    damaged: int
    rows: int
    bytes: int
    hits: int
    rows_copied: int
    seconds_by_hits: float
    seconds_by_copies: float


class Overview(Queries):
    """Sums and counts of what may be seen."""

    def __init__(self, database: Database, sight: Sight) -> None:
        super().__init__(database)
        self._sight = sight

    def packs(self) -> PackTotals:
        """What is kept, and what it saved."""
        each_row = sa.func.coalesce(packs.c.row_seconds, 0.0)

        def total(of: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
            return sa.func.coalesce(sa.func.sum(of), 0)

        sums = sa.select(
            sa.func.count(),
            sa.func.count(packs.c.problem),
            *(total(column) for column in (packs.c.rows, packs.c.bytes, packs.c.hits)),
            total(packs.c.rows_copied),
            total(packs.c.hits * packs.c.rows * each_row),
            total(packs.c.rows_copied * each_row),
        ).where(self._sight.of(packs))
        with self.database.read() as connection:
            found = connection.execute(sums).one()
        # PostgreSQL sums whole numbers as decimals.
        return PackTotals(*map(int, found[:6]), *map(float, found[6:]))

    def heads(self) -> int:
        query = sa.select(sa.func.count()).select_from(heads)
        return self._count(query.where(self._sight.of(heads)))

    def datasets(self) -> int:
        """Names, however many versions each has."""
        names = sa.select(datasets.c.space, datasets.c.name).where(self._sight.of(datasets))
        return self._count(sa.select(sa.func.count()).select_from(names.distinct().subquery()))

    def extractions(self) -> int:
        """Jobs that were ever submitted to build a pack, whatever became of them."""
        query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.kind == "extract")
        return self._count(query.where(self._sight.of(jobs)))

    def jobs_by_state(self) -> dict[str, int]:
        """Of the states that there are jobs in."""
        count = sa.func.count().label("found")
        query = sa.select(jobs.c.state, count).where(self._sight.of(jobs)).group_by(jobs.c.state)
        with self.database.read() as connection:
            return {row.state: row.found for row in connection.execute(query)}

    def _count(self, query: sa.Select[Any]) -> int:
        with self.database.read() as connection:
            return int(connection.execute(query).scalar_one())


def hit_rate(hits: int, extractions: int) -> float | None:
    """The share of submissions that was answered by a pack; None before the first."""
    return hits / (hits + extractions) if hits + extractions else None


def lowest(limits: Sequence[int | None]) -> int | None:
    """The limit that packs meet first, of workers of which each may have one."""
    return min((limit for limit in limits if limit is not None), default=None)
