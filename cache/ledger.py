"""The ledger: what devices did for whom, and what was saved them.

A row for each attempt at a job, written in the transaction that ends the attempt, or by whoever
notices that it was lost. Seconds are those for which a worker held the job, times its devices,
shared among the jobs that it held together. Hits are counted by team and day.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa

from cache.database import Database
from cache.tables import hits, jobs, ledger, packs, workers

NOBODY: Final = ""
"""The team of what belongs to none."""
DAY: Final = 86400


def team_name(team: str | None) -> str:
    """As the ledger calls a team, or those without one."""
    return team or NOBODY


def charge(
    connection: sa.Connection,
    database: Database,
    job_id: str,
    result: dict[str, Any] | None = None,
) -> None:
    """Write down the attempt that ends now, or that ended with its lease.

    The transaction holds the job's row, which still tells of the attempt. With the ``result`` of
    a job that built a pack the rows are exact, and those copied are seconds saved, as
    :mod:`cache.overview` counts them.
    """
    lost = sa.and_(jobs.c.state == "running", jobs.c.due < database.now)
    ended = sa.case((lost, jobs.c.due), else_=database.now)
    device = sa.select(workers.c.device).where(workers.c.worker == jobs.c.worker)
    told = (jobs.c.kind, jobs.c.payer, jobs.c.attempt, jobs.c.share, jobs.c.progress)
    row = connection.execute(
        sa.select(
            *told,
            sa.func.coalesce(jobs.c.claimed, jobs.c.started, ended).label("began"),
            ended.label("ended"),
            sa.func.coalesce(device.scalar_subquery(), "").label("device"),
        ).where(jobs.c.id == job_id)
    ).one()
    devices = row.device.count(",") + 1
    computed, copied = _rows_of_attempt(connection, job_id, result or row.progress)
    connection.execute(
        sa.insert(ledger).values(
            job_id=job_id,
            attempt=row.attempt,
            kind=row.kind,
            team=row.payer,
            device=row.device,
            began=row.began,
            ended=max(row.began, row.ended),
            seconds=max(0.0, row.ended - row.began) * devices * row.share,
            rows_computed=computed,
            rows_copied=copied,
            seconds_saved=_saved(connection, row.kind, result),
        )
    )


def _rows_of_attempt(
    connection: sa.Connection, job_id: str, counted: dict[str, Any]
) -> tuple[int, int]:
    """Rows computed and copied; what is ``counted`` are those of all attempts so far."""
    before = sa.select(
        sa.func.coalesce(sa.func.sum(ledger.c.rows_computed), 0),
        sa.func.coalesce(sa.func.sum(ledger.c.rows_copied), 0),
    ).where(ledger.c.job_id == job_id)
    computed, copied = connection.execute(before).one()
    return (
        max(0, counted.get("rows_computed", 0) - int(computed)),
        max(0, counted.get("rows_copied", 0) - int(copied)),
    )


def _saved(connection: sa.Connection, kind: str, result: dict[str, Any] | None) -> float:
    if kind != "extract" or result is None:
        return 0.0
    each = packs.c.rows_copied * sa.func.coalesce(packs.c.row_seconds, 0.0)
    made = packs.c.pack_id == result.get("pack_id")
    return float(connection.execute(sa.select(each).where(made)).scalar() or 0.0)


def credit_hit(
    connection: sa.Connection, database: Database, pack_id: str, team: str | None
) -> None:
    """A pack answered a team's submission: what computing it would take was saved."""
    each = packs.c.rows * sa.func.coalesce(packs.c.row_seconds, 0.0)
    query = sa.select(each, database.now).where(packs.c.pack_id == pack_id)
    saved, now = connection.execute(query).one()
    mine = sa.and_(hits.c.team == team_name(team), hits.c.day == int(now // DAY))
    more = {"hits": hits.c.hits + 1, "seconds_saved": hits.c.seconds_saved + float(saved)}
    if connection.execute(sa.update(hits).where(mine).values(more)).rowcount == 0:
        new = {"team": team_name(team), "day": int(now // DAY), "hits": 1}
        connection.execute(sa.insert(hits).values(new | {"seconds_saved": float(saved)}))
