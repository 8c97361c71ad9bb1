"""What changed in the queue since it was last looked at, for whoever watches all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from cache.database import Database
from cache.job import JOB_COLUMNS, Job, job_of
from cache.sight import Sight
from cache.tables import ACTIVE_STATES, jobs

MOST: Final = 1000
"""Active jobs that are followed, running ones first: a study may queue many thousands."""
LATE_SECONDS: Final = 5.0
"""A job may become visible so long after it was made, when its transaction ends."""


class JobChanges:
    """One watcher of what it may see of the queue.

    One thread at a time may look; any may read what is active.
    """

    def __init__(self, database: Database, sight: Sight) -> None:
        self._database = database
        self._seen = sight.of(jobs)
        self._known: dict[str, Job] = {}
        self._newest = 0.0

    @property
    def active(self) -> list[Job]:
        """Those that were queued or running when the queue was last looked at."""
        return [job for job in self._known.values() if not job.is_final]

    def look(self) -> list[Job]:
        """Jobs that are new or other than before; at the first look, all active ones.

        Also those that began and ended since the last look. Raises Unavailable.
        """
        with self._database.read() as connection:
            found = self._find(connection)
        changed = [job for job in found.values() if self._known.get(job.id) != job]
        self._newest = max([self._newest, *(job.created for job in found.values())])
        self._known = {  # another one, because ``active`` may be read just now
            job.id: job
            for job in (self._known | found).values()
            if not job.is_final or job.created > self._newest - LATE_SECONDS
        }
        return changed

    def _find(self, connection: sa.Connection) -> dict[str, Job]:
        is_active = jobs.c.state.in_(ACTIVE_STATES)
        running_first = jobs.c.state.desc()
        found = self._jobs(connection, [is_active], running_first, jobs.c.created)
        if self._newest:
            recent = jobs.c.created > self._newest - LATE_SECONDS
            found |= self._jobs(connection, [recent], jobs.c.created.desc())
        missing = [job.id for job in self.active if job.id not in found]
        for first in range(0, len(missing), MOST):
            some = jobs.c.id.in_(missing[first : first + MOST])
            found |= self._jobs(connection, [some], jobs.c.created)
        return found

    def _jobs(
        self,
        connection: sa.Connection,
        where: Sequence[sa.ColumnElement[bool]],
        *order: sa.ColumnElement[Any],
    ) -> dict[str, Job]:
        query = sa.select(*JOB_COLUMNS).where(self._seen, *where).order_by(*order).limit(MOST)
        return {row.id: job_of(row) for row in connection.execute(query)}
