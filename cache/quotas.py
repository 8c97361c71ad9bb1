"""What a team may not exceed, checked where it would.

Each error names the limit, what is used of it, and who can raise it.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from cache.errors import QuotaExceeded, StorageFull
from cache.teams import MINUTE, Teams, heads_lately, queued_jobs, stored_bytes

ASK: Final = "an admin raises it (featurepack teams limit)"


class Quotas:
    """Checks for whoever makes something that belongs to a team; what is no team's has no limit."""

    def __init__(self, teams: Teams) -> None:
        self.teams = teams

    def admit(self, connection: sa.Connection, kind: str, team: str | None, stores: int) -> None:
        """Whether a new job may be queued, in the transaction that queues it.

        ``stores`` are the bytes that it will keep, about.

        Raises:
            QuotaExceeded: the team has as many jobs queued as it may, or asks for heads too fast.
            StorageFull: what the job makes would not fit into what the team may store.
        """
        if team is None:
            return
        limits, database = self.teams.limits_in(connection, team), self.teams.database
        if limits.queued_jobs is not None:
            queued = queued_jobs(connection, team)
            if queued >= limits.queued_jobs:
                raise QuotaExceeded(
                    f"team {team} has {queued} jobs queued, and may have {limits.queued_jobs}",
                    value=queued,
                    remedy=f"wait until some are done, or cancel some; {ASK} --queued-jobs N",
                )
        if kind == "head" and limits.heads_per_minute is not None:
            asked = heads_lately(connection, database, team)
            if asked + 1 > limits.heads_per_minute:
                raise QuotaExceeded(
                    f"team {team} asked for {asked} heads in the last minute, and may for "
                    f"{limits.heads_per_minute:g}",
                    value=asked,
                    remedy="ask again in a minute, or for fewer heads at once; "
                    f"{ASK} --heads-per-minute N",
                    retry_after=MINUTE,
                )
        self._fit(connection, team, limits.stored_bytes, stores, "")

    def must_fit(
        self, team: str | None, more: int, *, pack_id: str = "", building: int = 0
    ) -> None:
        """Whether a file of ``more`` bytes may be made beside those that are being made.

        ``pack_id`` is the pack's whose file it is.

        Raises:
            StorageFull: it is more than the team has left.
        """
        if team is None:
            return
        with self.teams.database.read() as connection:
            limit = self.teams.limits_in(connection, team).stored_bytes
            self._fit(connection, team, limit, more + building, pack_id)

    def room(self, team: str | None) -> int | None:
        """Bytes that a team may still store; None without a limit."""
        if team is None:
            return None
        with self.teams.database.read() as connection:
            limit = self.teams.limits_in(connection, team).stored_bytes
            return None if limit is None else max(0, limit - stored_bytes(connection, team))

    def _fit(
        self, connection: sa.Connection, team: str, limit: int | None, more: int, but_pack: str
    ) -> None:
        if limit is None or not more:
            return
        stored = stored_bytes(connection, team, but_pack)
        if stored + more > limit:
            raise full(team, limit, stored, more)


def full(team: str, limit: int, stored: int, more: int) -> StorageFull:
    """The error of what does not fit any more."""
    return StorageFull(
        f"team {team} stores {stored} bytes and may store {limit}; {more} more do not fit",
        value=stored + more,
        remedy="delete packs or datasets of the team (featurepack packs delete), or ask for fewer "
        f"rows, a smaller layer or float16; {ASK} --stored-bytes N",
    )
