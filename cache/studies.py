"""Studies: which heads are compared, and what the catalogue and the queue know of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from cache.errors import NotFound
from cache.job import JOB_COLUMNS, Job, job_of
from cache.pages import Page
from cache.queries import Queries, columns, select
from cache.rows import HeadRow, PackRow, StudyRow
from cache.sight import Sight
from cache.submitters import joined, left
from cache.tables import heads, jobs, packs, studies

AT_ONCE: Final = 500
"""Values in one statement: a database takes only so many."""
_NUMBERS: Final = ("validation_accuracy", "seconds")
_COUNTS: Final = ("train_rows", "validation_rows")
_OBJECTS: Final = ("validation_interval", "validation_right")
METRICS: Final = (*_NUMBERS, *_COUNTS, *_OBJECTS)
"""Of a head; the rest is long, and not compared."""


@dataclass(frozen=True)
class Evidence:
    """Packs by their id, heads by their pack's, newest first, and the newest job of each key."""

    packs: dict[str, PackRow] = field(default_factory=dict)
    heads: dict[str, list[HeadRow]] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)


class Studies(Queries):
    """Rows of the table ``studies``, and what they are about."""

    def find(self, study_id: str, sight: Sight) -> StudyRow:
        """Raises NotFound."""
        mine = studies.c.study_id == study_id
        query = select(studies, StudyRow).where(mine, sight.of(studies))
        found = self._first(query, StudyRow)
        if found is None:
            raise _unknown(study_id)
        return found

    def page(self, sight: Sight, *, cursor: str | None = None, limit: int = 50) -> Page[StudyRow]:
        """Newest first."""
        query = select(studies, StudyRow).where(sight.of(studies))
        return self._page(query, studies, "study_id", StudyRow, cursor, limit)

    def join(self, connection: sa.Connection, row: StudyRow, submitter: str | None) -> None:
        """Keep a study, or note that one more wants it."""
        before = self._locked(connection, row.study_id)
        who = joined({} if before is None else before.submitters, submitter, 0)
        if before is None:
            values = vars(row) | {"submitters": who, "created": self.database.now}
            connection.execute(sa.insert(studies).values(values))
        else:
            self._set(connection, row.study_id, who)

    def leave(
        self, connection: sa.Connection, study_id: str, submitter: str | None, *, force: bool
    ) -> bool:
        """One no longer wants a study. True if nobody does.

        Raises:
            NotFound: no such study.
            Conflict: that one did not want it.
        """
        row = self._locked(connection, study_id)
        if row is None:
            raise _unknown(study_id)
        if not row.submitters:
            return True  # cancelled before
        rest = {} if force else left(row.submitters, submitter, f"study {study_id}")
        self._set(connection, study_id, rest)
        return not rest

    def _locked(self, connection: sa.Connection, study_id: str) -> StudyRow | None:
        query = select(studies, StudyRow).where(studies.c.study_id == study_id)
        row = connection.execute(query.with_for_update()).first()
        return StudyRow(**row._mapping) if row else None

    def _set(self, connection: sa.Connection, study_id: str, submitters: dict[str, int]) -> None:
        mine = studies.c.study_id == study_id
        connection.execute(sa.update(studies).where(mine).values(submitters=submitters))

    def heads_in(
        self, connection: sa.Connection, pack_ids: Iterable[str]
    ) -> dict[str, list[HeadRow]]:
        """The heads of packs, newest first, with those of their metrics that are compared."""
        plain = [heads.c[name] for name in ("head_id", "pack_id", "method", "params", "created")]
        metrics_of = heads.c.metrics
        query = sa.select(
            *plain,
            # As numbers: SQLite would give one as JSON with 15 digits.
            *(metrics_of[name].as_float().label(name) for name in _NUMBERS),
            *(metrics_of[name].as_integer().label(name) for name in _COUNTS),
            *(metrics_of[name].label(name) for name in _OBJECTS),
        )
        query = query.order_by(heads.c.created.desc(), heads.c.head_id)
        found: dict[str, list[HeadRow]] = {}
        for some in _pieces(pack_ids):
            for row in connection.execute(query.where(heads.c.pack_id.in_(some))):
                values = dict(row._mapping)
                metrics = {name: values.pop(name) for name in METRICS}
                head = HeadRow(metrics=metrics, **values)
                found.setdefault(head.pack_id, []).append(head)
        return found

    def evidence(self, pack_ids: Iterable[str], keys: Iterable[str]) -> Evidence:
        """Jobs are looked at first: one that ends meanwhile has its results there."""
        found = Evidence()
        with self.database.read() as connection:
            for some in _pieces(keys):
                query = sa.select(*JOB_COLUMNS).where(jobs.c.key.in_(some))
                for row in connection.execute(query.order_by(jobs.c.created, jobs.c.id)):
                    found.jobs[row.key] = job_of(row)
            for some in _pieces(pack_ids):
                rows = sa.select(*columns(packs, PackRow)).where(packs.c.pack_id.in_(some))
                for row in connection.execute(rows):
                    found.packs[row.pack_id] = PackRow(**row._mapping)
            found.heads.update(self.heads_in(connection, pack_ids))
        return found


def _pieces(values: Iterable[Any]) -> Iterator[list[Any]]:
    every = sorted(set(values))
    for first in range(0, len(every), AT_ONCE):
        yield every[first : first + AT_ONCE]


def _unknown(study_id: str) -> NotFound:
    return NotFound(
        f"no study {study_id!r}", value=study_id, remedy="GET /v1/studies lists the studies"
    )
