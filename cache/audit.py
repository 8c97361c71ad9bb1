"""Who wrote what, when, from where, and what came of it: rows that are only added.

They may name what is private to a team, so they are for admins alone.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import sqlalchemy as sa

from cache.pages import Page
from cache.queries import Queries, select
from cache.tables import audit


@dataclass(frozen=True)
class Write:
    """A request that changed something, or was to.

    ``team`` and ``key_id`` are None where no key is needed. ``named`` are what the path does not
    name: the place of what was made, or what a body listed. ``status`` is the answer's, 0 if there
    was none.
    """

    team: str | None
    key_id: str | None
    address: str
    request_id: str
    method: str
    path: str
    status: int
    named: list[str]


@dataclass(frozen=True)
class AuditRow(Write):
    """A write that was noted, in seconds since 1970 by the database's clock."""

    audit_id: str
    created: float


class Audit(Queries):
    """Rows of the table ``audit``."""

    def add(self, write: Write) -> None:
        """Keep a write. Raises Unavailable."""
        values = vars(write) | {"audit_id": secrets.token_hex(8), "created": self.database.now}
        with self.database.write() as connection:
            connection.execute(sa.insert(audit).values(values))

    def page(
        self,
        *,
        team: str | None = None,
        key_id: str | None = None,
        about: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page[AuditRow]:
        """Newest first; ``about`` is a part of a path or of what was named."""
        query = select(audit, AuditRow)
        if team is not None:
            query = query.where(audit.c.team == team)
        if key_id is not None:
            query = query.where(audit.c.key_id == key_id)
        if about is not None:
            named = sa.cast(audit.c.named, sa.Text)
            found = (each.contains(about, autoescape=True) for each in (audit.c.path, named))
            query = query.where(sa.or_(*found))
        return self._page(query, audit, "audit_id", AuditRow, cursor, limit)

    def forget(self, seconds: float) -> None:
        """Drop what is older than so many seconds. Raises Unavailable."""
        old = audit.c.created < self.database.now - seconds
        with self.database.read() as connection:
            if connection.execute(sa.select(audit.c.audit_id).where(old).limit(1)).first() is None:
                return
        with self.database.write() as connection:
            connection.execute(sa.delete(audit).where(old))
