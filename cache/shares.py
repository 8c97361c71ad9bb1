"""Fair shares: whose turn is it?

The team that used the least in the last hour goes first: what the ledger says, and what runs now.
Priority and age only decide among the jobs of one team, so neither how many jobs a team submits,
nor how early, nor how urgent it calls them, takes anything from another's share. Jobs without a
team count as one team's. Kinds of jobs that a worker does in lanes of their own are shared lane by
lane.

A job is *paid* for by the team that submitted it. Where another team submits the same while it
waits, the one of the two pays that used less when it is claimed: neither waits longer for the
other's wanting it, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from cache.database import Database
from cache.tables import ACTIVE_STATES, jobs, ledger

WINDOW_SECONDS: Final = 3600.0
"""What was used before is forgotten."""

PATIENCE_SECONDS: Final = 5.0
"""A job of another team that waits so long finds no free worker."""

LEAD_SECONDS: Final = 60.0
"""So much more than another team one may have used before a job of one's own makes room."""


@dataclass(frozen=True)
class Turn:
    """Jobs and what decides between their teams; ``order`` has the one whose turn it is first.

    ``pays`` is the team that is to pay, ``seconds`` what it used.
    """

    jobs: sa.FromClause
    pays: sa.ColumnElement[str]
    seconds: sa.ColumnElement[float]
    order: tuple[sa.ColumnElement[float], sa.ColumnElement[int]]


def turn(uses: sa.CTE) -> Turn:
    """To select from, and to order by; ``uses`` are :func:`used`."""
    first, second = uses.alias("first"), uses.alias("second")
    joined = jobs.outerjoin(first, first.c.team == jobs.c.payer)
    joined = joined.outerjoin(second, second.c.team == jobs.c.joiner)
    one, two = (sa.func.coalesce(each.c.seconds, 0.0) for each in (first, second))
    runs, also = (sa.func.coalesce(each.c.running, 0) for each in (first, second))
    less = sa.or_(two < one, sa.and_(two == one, also < runs))
    joins = sa.and_(jobs.c.joiner.is_not(None), less)
    seconds = sa.case((joins, two), else_=one)
    running = sa.case((joins, also), else_=runs)
    pays = sa.case((joins, jobs.c.joiner), else_=jobs.c.payer)
    return Turn(joined, pays, seconds, (seconds, running))


def used(database: Database, kinds: Sequence[str]) -> sa.CTE:
    """Each team's ``seconds`` in the last hour, and how many jobs it has ``running``.

    Jobs that were begun in the same instant have used nothing yet, so they are counted, too.
    """
    now = _now(database)
    since = now - WINDOW_SECONDS
    length = ledger.c.ended - ledger.c.began
    inside = (ledger.c.ended - since) / sa.case((length > 0, length), else_=1.0)
    done = sa.select(
        ledger.c.team,
        (ledger.c.seconds * sa.case((ledger.c.began < since, inside), else_=1.0)).label("seconds"),
        sa.literal_column("0").label("running"),
    ).where(ledger.c.ended > since, ledger.c.kind.in_(kinds))
    until = sa.case((jobs.c.due < now, jobs.c.due), else_=now)
    begun = sa.case((jobs.c.claimed < since, since), else_=jobs.c.claimed)
    runs = sa.select(
        jobs.c.payer.label("team"),
        (jobs.c.share * (until - begun)).label("seconds"),
        sa.literal_column("1").label("running"),
    ).where(jobs.c.state == "running", jobs.c.kind.in_(kinds), jobs.c.claimed.is_not(None))
    each = sa.union_all(done, runs).subquery("uses")
    total = sa.func.sum(each.c.seconds).label("seconds")
    running = sa.func.sum(each.c.running).label("running")
    return sa.select(each.c.team, total, running).group_by(each.c.team).cte("used")


def due_now(
    database: Database, kinds: Sequence[str], since_seconds: float = 0.0
) -> sa.ColumnElement[bool]:
    """Jobs that may be claimed, for so long: new ones, and those whose worker is gone."""
    return sa.and_(
        jobs.c.state.in_(ACTIVE_STATES),
        jobs.c.due <= _now(database) - since_seconds,
        jobs.c.kind.in_(kinds),
        jobs.c.waits_for.is_(None),
    )


def _now(database: Database) -> sa.ColumnElement[float]:
    """The database's clock, read once for a statement and not for each row."""
    return sa.select(database.now).scalar_subquery()


def others_wait(
    connection: sa.Connection, database: Database, kinds: Sequence[str], payer: str
) -> bool:
    """Whether another team finds no worker, and ``payer`` used a good deal more than that one."""
    uses = used(database, kinds)
    whose = turn(uses)
    mine = sa.select(uses.c.seconds).where(uses.c.team == payer).scalar_subquery()
    waits = due_now(database, kinds, PATIENCE_SECONDS)
    behind = sa.and_(whose.pays != payer, whose.seconds + LEAD_SECONDS < mine)
    query = sa.select(jobs.c.id).select_from(whose.jobs).where(waits, behind)
    return connection.execute(query.limit(1)).first() is not None


def payers(payer: str, joiner: str | None, submitters: Iterable[str]) -> dict[str, str | None]:
    """Who may pay for a job when these want it: a team that withdrew no longer does.

    Names tell of which team one is, but for studies, which may be of either.
    """
    teams = {name.partition("/")[0] for name in submitters}
    if joiner is not None and not any(name.startswith("study ") for name in teams):
        if payer not in teams and joiner in teams:
            payer, joiner = joiner, None
        elif joiner not in teams:
            joiner = None
    return {"payer": payer, "joiner": joiner}
