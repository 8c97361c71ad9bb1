"""Cursor paging by any column: stable while rows are added."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from cache.errors import InvalidRequest

Item = TypeVar("Item")


@dataclass(frozen=True)
class Page(Generic[Item]):
    """Some items, and the cursor of the next page (None on the last)."""

    items: list[Item]
    next_cursor: str | None


Value = str | int | float


@dataclass(frozen=True)
class Order:
    """What a list is sorted by: ``value``, and among equals ``key``, both in one direction.

    Neither is ever NULL. ``name`` tells the orders of one list apart.
    """

    value: sa.ColumnElement[Any]
    key: sa.ColumnElement[str]
    descending: bool = True
    name: str = ""

    def clauses(self) -> tuple[sa.ColumnElement[Any], ...]:
        both = (self.value, self.key)
        return tuple(each.desc() if self.descending else each.asc() for each in both)

    def after(self, value: Value, key: str) -> sa.ColumnElement[bool]:
        """What comes behind the row with these values."""
        if self.descending:
            beyond, next_key = self.value < value, self.key < key
        else:
            beyond, next_key = self.value > value, self.key > key
        return sa.or_(beyond, sa.and_(self.value == value, next_key))


def page_of(
    connection: sa.Connection,
    query: sa.Select[Any],
    order: Order,
    cursor: str | None,
    limit: int,
    make: Callable[[sa.Row[Any]], Item],
) -> Page[Item]:
    """Run ``query`` for one page. Whatever is added meanwhile, no row is shown twice.

    Both columns of the order must be among the selected ones. Raises InvalidRequest for a cursor of
    another order, or one of ours that was altered.
    """
    if cursor is not None:
        query = query.where(order.after(*_decode(cursor, order)))
    rows = connection.execute(query.order_by(*order.clauses()).limit(limit + 1)).all()
    more = len(rows) > limit
    last = rows[limit - 1]._mapping if more else None
    return Page(
        items=[make(row) for row in rows[:limit]],
        next_cursor=None if last is None else _encode(order, last[order.value], last[order.key]),
    )


def _encode(order: Order, value: Value, key: str) -> str:
    named = [_named(order), value, key]
    return base64.urlsafe_b64encode(json.dumps(named).encode()).decode().rstrip("=")


def _decode(cursor: str, order: Order) -> tuple[Value, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        named, value, key = json.loads(base64.urlsafe_b64decode(padded))
        is_text = isinstance(order.value.type, sa.Text)
        if named != _named(order) or is_text is not isinstance(value, str):
            raise ValueError("of another order")
        return value if is_text else float(value), str(key)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"the cursor {cursor!r} is not one of ours for this order",
            value=cursor,
            remedy="use next_cursor of the page before, unchanged, with the same sort and order",
        ) from error


def _named(order: Order) -> str:
    return f"{order.name} {'desc' if order.descending else 'asc'}"
