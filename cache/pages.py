"""Cursor paging: newest first, and stable while rows are added."""

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


def page_of(
    connection: sa.Connection,
    query: sa.Select[Any],
    time: sa.ColumnElement[float],
    key: sa.ColumnElement[str],
    cursor: str | None,
    limit: int,
    make: Callable[[sa.Row[Any]], Item],
) -> Page[Item]:
    """Run ``query`` for one page, ordered by ``time`` and ``key``, both descending.

    Both columns must be among the selected ones. Raises InvalidRequest for a cursor of ours that
    was altered.
    """
    if cursor is not None:
        after_time, after_key = _decode(cursor)
        query = query.where(sa.or_(time < after_time, sa.and_(time == after_time, key < after_key)))
    rows = connection.execute(query.order_by(time.desc(), key.desc()).limit(limit + 1)).all()
    more = len(rows) > limit
    last = rows[limit - 1]._mapping if more else None
    return Page(
        items=[make(row) for row in rows[:limit]],
        next_cursor=None if last is None else _encode(last[time], last[key]),
    )


def _encode(time: float, key: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([time, key]).encode()).decode().rstrip("=")


def _decode(cursor: str) -> tuple[float, str]:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        time, key = json.loads(base64.urlsafe_b64decode(padded))
        return float(time), str(key)
    except (ValueError, TypeError) as error:
        raise InvalidRequest(
            f"the cursor {cursor!r} is not one of ours",
            value=cursor,
            remedy="use next_cursor of the page before, unchanged",
        ) from error
