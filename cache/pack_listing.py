"""How packs are searched, filtered and sorted; and what is kept of each so that this is quick.

The columns that lists look at are derived from the pack when its row is written: JSON of 5,000
packs takes too long to be looked into at every key that somebody types.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa

from cache.pages import Order, Page
from cache.rows import PackRow
from cache.sight import Sight
from cache.tables import heads, packs

PackSort = Literal[
    "created", "last_used", "hits", "bytes", "rows", "network", "dataset", "accuracy"
]

NO_ACCURACY: Final = -1.0
"""Packs without a scored head count as this: keyset paging needs a value to compare."""


@dataclass(frozen=True)
class PackFilter:
    """Which packs; all of it together.

    Each word of ``words`` must stand somewhere in network, dataset, tap or id, whatever the case.
    """

    words: str = ""
    network: str | None = None
    dataset: str | None = None
    tap: str | None = None
    recipe_id: str | None = None
    pinned: bool | None = None
    sound: bool | None = None

    def clauses(self) -> list[sa.ColumnElement[bool]]:
        """For ``where``."""
        found: list[sa.ColumnElement[bool]] = [
            packs.c.words.contains(word, autoescape=True) for word in self.words.casefold().split()
        ]
        found += [
            packs.c[name] == value
            for name in ("network", "dataset", "tap", "recipe_id", "pinned")
            if (value := getattr(self, name)) is not None
        ]
        if self.sound is not None:
            is_sound = packs.c.problem.is_(None)
            found.append(is_sound if self.sound else sa.not_(is_sound))
        return found


@dataclass(frozen=True)
class PackPage(Page[PackRow]):
    """Some packs, and how many there are on all pages together."""

    total: int


@dataclass(frozen=True)
class BestHead:
    """The head of a pack that is right most often on validation."""

    head_id: str
    method: str
    accuracy: float


def order_of(sort: PackSort, descending: bool) -> Order:
    """Packs without an accuracy are last when the best come first."""
    if sort != "accuracy":
        return Order(packs.c[sort], packs.c.pack_id, descending, sort)
    best = sa.select(sa.func.max(heads.c.accuracy)).where(heads.c.pack_id == packs.c.pack_id)
    value = sa.func.coalesce(best.scalar_subquery(), NO_ACCURACY).label("accuracy")
    return Order(value, packs.c.pack_id, descending, sort)


def listed_values(connection: sa.Connection, row: PackRow) -> dict[str, Any]:
    """What a pack's row holds beside the pack, for lists and totals."""
    return {
        "tap": row.tap,
        "words": words_of(row.network, row.dataset, row.tap, row.pack_id),
        "rows_copied": row.provenance.get("rows_copied", 0),
        "row_seconds": _row_seconds(connection, row),
    }


def words_of(network: str, dataset: str, tap: str | None, pack_id: str) -> str:
    """What a search looks into; folded here, because SQLite folds ASCII alone."""
    return "\n".join((network, dataset, tap or "", pack_id)).casefold()


def _row_seconds(connection: sa.Connection, row: PackRow) -> float | None:
    """What it took to compute a row, or, where all rows were copied, another pack of the recipe."""
    rate = row.provenance.get("images_per_second")
    if rate:
        return float(1 / rate)
    seen = Sight(row.space).of(packs)
    kin = sa.and_(packs.c.recipe_id == row.recipe_id, packs.c.row_seconds.is_not(None), seen)
    newest = sa.select(packs.c.row_seconds).where(kin).order_by(packs.c.created.desc()).limit(1)
    return connection.execute(newest).scalar()
