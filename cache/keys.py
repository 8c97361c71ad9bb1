"""Keys: made, found by what somebody shows, revoked.

A key is ``fp_<key_id>_<secret>``: 8 hexadecimal digits that may be shown, and 256 random bits. The
table keeps the SHA-256 of the whole. A slow hash would add nothing: it makes guessing passwords
expensive, and of 256 random bits nobody guesses one (NIST SP 800-63B 5.1.2.2 asks for salt and
stretching below 112 bits).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final, Literal

import sqlalchemy as sa

from cache.errors import Conflict, NotFound
from cache.pages import Page
from cache.queries import Queries, columns, select
from cache.tables import keys

KeyScope = Literal["read", "submit", "admin"]
SCOPES: Final[tuple[KeyScope, ...]] = ("read", "submit", "admin")
"""Each allows what those before it do."""

TEAM_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,49}"

_KEY: Final = re.compile(r"fp_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_NONE: Final = "0" * 8
_NO_DIGEST: Final = bytes(32)
NOTE_SECONDS: Final = 60.0
"""``last_used`` is written at most this often."""


@dataclass(frozen=True)
class KeyRow:
    """A key without its secret. Times are seconds since 1970."""

    key_id: str
    team: str
    scope: KeyScope
    note: str
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    last_used: float | None = None


def digest_of(text: str) -> bytes:
    """What is kept of a key [32 bytes]."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class Keys(Queries):
    """Rows of the table ``keys``. They stay when they are revoked: access never opens again."""

    def exist(self) -> bool:
        """Whether a key was ever made."""
        with self.database.read() as connection:
            return connection.execute(sa.select(keys.c.key_id).limit(1)).first() is not None

    def create(
        self,
        team: str,
        scope: KeyScope,
        note: str = "",
        expires: float | None = None,
        *,
        admin_first: bool,
    ) -> tuple[KeyRow, str]:
        """A new key, and the text that is shown this once.

        Raises:
            Conflict: with ``admin_first``, where it is the first and no admin's: with it nobody
                could make another.
        """
        key_id = secrets.token_hex(4)
        text = f"fp_{key_id}_{secrets.token_urlsafe(32)}"
        values = {
            "key_id": key_id,
            "team": team,
            "scope": scope,
            "note": note,
            "sha256": digest_of(text),
            "created": self.database.now,
            "expires": expires,
        }
        with self.database.write() as connection:
            first = connection.execute(sa.select(keys.c.key_id).limit(1)).first() is None
            if first and admin_first and scope != "admin":
                raise Conflict(
                    f"the first key cannot be one of scope {scope!r}: from then on nobody could "
                    "make another",
                    value=scope,
                    remedy="make a key of scope 'admin' first",
                )
            statement = sa.insert(keys).values(values).returning(*columns(keys, KeyRow))
            return KeyRow(**connection.execute(statement).one()._mapping), text

    def find(self, text: str) -> KeyRow | None:
        """The key that ``text`` is, if it is valid now.

        An unknown id costs what a known one does, and whole digests are compared in constant time.
        """
        shaped = _KEY.fullmatch(text)
        query = select(keys, KeyRow).add_columns(keys.c.sha256, self._hold().label("holds"))
        with self.database.read() as connection:
            row = connection.execute(
                query.where(keys.c.key_id == (shaped[1] if shaped else _NONE))
            ).first()
        known = _NO_DIGEST if row is None else bytes(row.sha256)
        same = hmac.compare_digest(digest_of(text), known)
        if row is None or not same or not row.holds:
            return None
        values = dict(row._mapping)
        del values["sha256"], values["holds"]
        return KeyRow(**values)

    def _hold(self) -> sa.ColumnElement[bool]:
        unexpired = sa.or_(keys.c.expires.is_(None), keys.c.expires > self.database.now)
        return sa.and_(keys.c.revoked.is_(None), unexpired)

    def note_use(self, key_id: str) -> None:
        """It was used just now."""
        used = sa.update(keys).where(keys.c.key_id == key_id).values(last_used=self.database.now)
        with self.database.write(durable=False) as connection:
            connection.execute(used)

    def revoke(self, key_id: str, *, last_admin_too: bool) -> KeyRow:
        """From now on it is none; one that was revoked before stays as it is.

        Raises:
            NotFound: no such key.
            Conflict: it is the last of scope admin, and that is not meant.
        """
        mine = keys.c.key_id == key_id
        others = sa.select(keys.c.key_id).where(
            self._hold(), keys.c.scope == "admin", keys.c.key_id != key_id
        )
        with self.database.write() as connection:
            if not last_admin_too and connection.execute(others.limit(1)).first() is None:
                raise Conflict(
                    f"key {key_id!r} is the last of scope 'admin'",
                    value=key_id,
                    remedy="make another one first",
                )
            first = sa.update(keys).where(mine, keys.c.revoked.is_(None))
            connection.execute(first.values(revoked=self.database.now))
            row = connection.execute(select(keys, KeyRow).where(mine)).first()
        if row is None:
            raise NotFound(f"no key {key_id!r}", value=key_id, remedy="GET /v1/keys lists the keys")
        return KeyRow(**row._mapping)

    def page(self, *, cursor: str | None = None, limit: int = 50) -> Page[KeyRow]:
        """Newest first, revoked ones among them."""
        return self._page(select(keys, KeyRow), keys, "key_id", KeyRow, cursor, limit)
