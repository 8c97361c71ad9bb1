"""Keys of teams, for admins."""

from __future__ import annotations

from datetime import datetime

from featurepack.answers import Key, NewKey
from featurepack.studies import StudyCalls
from featurepack.transport import segment


class KeyCalls(StudyCalls):
    """``/v1/keys``."""

    def keys(self, *, limit: int | None = None) -> list[Key]:
        """All keys, newest first, revoked ones among them. Raises Forbidden."""
        return [Key.of(item) for item in self._transport.items("/v1/keys", limit)]

    def create_key(
        self, team: str, scope: str, *, note: str = "", expires: datetime | None = None
    ) -> NewKey:
        """A key for a team, of scope ``read``, ``submit`` or ``admin``. Its ``key`` is shown once.

        ``expires`` has a time zone. The first key of a service ends open access.

        Raises:
            Forbidden: one's own key is no admin's.
            InvalidRequest: no such scope, no name of a team, or it would have expired.
            Conflict: the first key must be an admin's.
        """
        body = {"team": team, "scope": scope, "note": note}
        body |= {} if expires is None else {"expires": expires.isoformat()}
        return NewKey.of(self._transport.json("POST", "/v1/keys", again=False, json=body))

    def revoke_key(self, key_id: str) -> Key:
        """From now on nobody comes in with it.

        Raises:
            NotFound: no such key.
            Conflict: it is the last of an admin.
            Forbidden: one's own key is no admin's.
        """
        path = f"/v1/keys/{segment(key_id)}"
        return Key.of(self._transport.json("DELETE", path, again=True))
