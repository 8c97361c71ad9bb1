"""Which keys hold: asked of the database, and remembered for a second.

A small answer takes a third of a millisecond, a look into the database as long again.
"""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

from cache.database import Database
from cache.errors import Unauthorised, Unavailable
from cache.keys import NOTE_SECONDS, Keys, digest_of
from service.caller import OPEN, Caller

REMEMBERED_SECONDS: Final = 1.0
"""A key that another process revoked works so long; one that this process revoked does not."""
AWAY_SECONDS: Final = 60.0
"""So long keys go on to hold while the database is away, where nobody can revoke one either."""
REMEMBERED: Final = 4096
FILE_KEY: Final = "file"
"""The ``key_id`` of the operator's key, which is in no table."""


@dataclass(frozen=True)
class _Known:
    caller: Caller
    until: float


class Keyring:
    """The keys of one service. Safe to call from several threads.

    ``admin_key`` is the operator's own, of FEATUREPACK_ADMIN_KEY_FILE. Without it, and before the
    first key was made, everybody may do everything.
    """

    def __init__(self, database: Database, admin_key: str | None) -> None:
        self.keys = Keys(database)
        self._admin_digest = None if admin_key is None else digest_of(admin_key)
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._noted: dict[str, float] = {}
        self._lock = Lock()
        self._needed = self._admin_digest is not None
        self._looked = float("-inf")
        self._turn = 0

    @property
    def has_admin_key(self) -> bool:
        """Whether there is an operator's key beside those of the table."""
        return self._admin_digest is not None

    def at_hand(self, text: str | None) -> Caller | None:
        """What :meth:`find` gives, if the database need not be asked for it."""
        now = time.monotonic()
        if not self._needed:
            return OPEN if now - self._looked < REMEMBERED_SECONDS else None
        if text is None:
            return None
        with self._lock:
            known = self._known.get(digest_of(text))
        return known.caller if known is not None and now < known.until else None

    def find(self, text: str | None) -> Caller:
        """Whose key it is.

        Raises:
            Unauthorised: a key is needed, and this is none that holds.
            Unavailable: the database does not answer.
        """
        if self.is_open():
            return OPEN
        if text is None:
            raise Unauthorised("no key was shown", remedy=_REMEDY)
        digest, turn = digest_of(text), self._turn
        if self._admin_digest is not None and hmac.compare_digest(digest, self._admin_digest):
            return self._remember(digest, Caller(None, "admin", FILE_KEY), turn)
        try:
            row = self.keys.find(text)
        except Unavailable:
            with self._lock:
                known = self._known.get(digest)
            if known is None or time.monotonic() >= known.until + AWAY_SECONDS:
                raise
            return known.caller
        if row is None:
            raise Unauthorised("the key is unknown, revoked or expired", remedy=_REMEDY)
        return self._remember(digest, Caller(row.team, row.scope, row.key_id), turn)

    def is_open(self) -> bool:
        """Whether no key is needed, as nobody ever made one.

        Raises:
            Unavailable: the database did not answer when it was asked for the first time.
        """
        now = time.monotonic()
        if not self._needed and now - self._looked >= REMEMBERED_SECONDS:
            turn = self._turn
            try:
                self._needed = self.keys.exist()
            except Unavailable:
                if self._looked < 0:
                    raise
            if turn == self._turn:
                self._looked = now
        return not self._needed

    def note_use(self, caller: Caller) -> None:
        """Remember that a key was used, at most once a minute. Raises Unavailable."""
        if caller.key_id not in (None, FILE_KEY):
            self._noted[caller.key_id] = time.monotonic()
            self.keys.note_use(caller.key_id)

    def is_note_due(self, caller: Caller) -> bool:
        if caller.key_id in (None, FILE_KEY):
            return False
        return time.monotonic() - self._noted.get(caller.key_id, float("-inf")) >= NOTE_SECONDS

    def _remember(self, digest: bytes, caller: Caller, turn: int) -> Caller:
        """Unless keys were made or revoked since the database was asked."""
        with self._lock:
            if turn == self._turn:
                self._known[digest] = _Known(caller, time.monotonic() + REMEMBERED_SECONDS)
                self._known.move_to_end(digest)
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return caller

    def forget(self) -> None:
        """Keys were made or revoked: what is remembered no longer holds."""
        with self._lock:
            self._turn += 1
            self._known.clear()
            self._looked = float("-inf")


_REMEDY: Final = (
    "send Authorization: Bearer KEY (the client: FEATUREPACK_KEY); an admin makes keys with "
    "featurepack keys create"
)
