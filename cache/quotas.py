"""What a team may not exceed, checked where it would.

Each error names the limit, what is used of it, and who can raise it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from cache.errors import QuotaExceeded, StorageFull
from cache.store import Store
from cache.tables import datasets, jobs
from cache.teams import MINUTE, Teams, heads_lately, queued_jobs, stored_bytes

if TYPE_CHECKING:
    from cache.job import Job

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
        self._fit(connection, team, limits.stored_bytes, stores)

    def must_fit(self, store: Store, job: Job, pack_id: str, needed_bytes: int) -> None:
        """Whether a job's team may have a pack of this size, beside those that are being built.

        Raises:
            StorageFull: it is more than the team has left.
        """
        if job.team is None:
            return
        with self.teams.database.read() as connection:
            limit = self.teams.limits_in(connection, job.team).stored_bytes
            if limit is not None:
                begun = _begun_bytes(connection, store, job.team, pack_id)
                self._fit(connection, job.team, limit, needed_bytes, pack_id, begun)

    def must_store(self, team: str | None, dataset_id: str, more: int) -> None:
        """Whether a team may keep a dataset's images, unless it has them already.

        Raises:
            StorageFull: they are more than the team has left.
        """
        if team is None:
            return
        known = sa.select(datasets.c.name).where(
            datasets.c.team == team, datasets.c.dataset_id == dataset_id
        )
        with self.teams.database.read() as connection:
            limit = self.teams.limits_in(connection, team).stored_bytes
            if limit is not None and connection.execute(known).first() is None:
                self._fit(connection, team, limit, more)

    def _fit(
        self,
        connection: sa.Connection,
        team: str,
        limit: int | None,
        more: int,
        but_pack: str = "",
        begun: int = 0,
    ) -> None:
        if limit is None or not more:
            return
        stored = stored_bytes(connection, team, but_pack) + begun
        if stored + more > limit:
            raise full(team, limit, stored, more)


def _begun_bytes(connection: sa.Connection, store: Store, team: str, but_pack: str) -> int:
    """Of a team's packs that workers build just now; their files have their size from the first."""
    query = sa.select(jobs.c.spec).where(jobs.c.team == team, jobs.c.state == "running")
    packs = {spec.get("pack_id") for (spec,) in connection.execute(query)} - {None, but_pack}
    files = [path for pack_id in packs for path in store.building(pack_id).glob("*")]
    total = 0
    for path in files:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue  # finished or given up meanwhile
    return total


def full(team: str, limit: int, stored: int, more: int) -> StorageFull:
    """The error of what does not fit any more."""
    return StorageFull(
        f"team {team} stores {stored} bytes and may store {limit}; {more} more do not fit",
        value=stored + more,
        remedy="delete packs or datasets of the team (featurepack packs delete), or ask for fewer "
        f"rows, a smaller layer or float16; {ASK} --stored-bytes N",
    )
