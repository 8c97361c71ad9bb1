"""What the rooms of the catalogue share: rows of a table as frozen values."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from cache.database import Database
from cache.pages import Order, Page, page_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


def columns(table: sa.Table, cls: type[DataclassInstance]) -> list[sa.Column[Any]]:
    """The columns that ``cls`` has fields for."""
    return [table.c[field.name] for field in fields(cls)]


def select(table: sa.Table, cls: type[DataclassInstance]) -> sa.Select[Any]:
    return sa.select(*columns(table, cls))


class Queries:
    """Queries that each run in a transaction of their own."""

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
        """Newest first."""
        with self.database.read() as connection:
            return page_of(
                connection,
                query,
                Order(table.c.created, table.c[key]),
                cursor,
                limit,
                lambda row: cls(**row._mapping),
            )
