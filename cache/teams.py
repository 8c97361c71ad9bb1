"""Teams: their limits, what they use of them, and what was done and saved for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import sqlalchemy as sa

from cache.database import Database
from cache.errors import InvalidRequest
from cache.ledger import DAY
from cache.queries import Queries, select
from cache.tables import datasets, hits, jobs, keys, ledger, packs, teams

MINUTE = 60.0


@dataclass(frozen=True)
class Limits:
    """What one team may; None is no limit.

    ``stored_bytes`` are of packs and of the images of datasets, ``upload_bytes`` of one upload.
    """

    stored_bytes: int | None = None
    queued_jobs: int | None = None
    upload_bytes: int | None = None
    requests_per_second: float | None = None
    heads_per_minute: float | None = None

    def over(self, defaults: Limits) -> Limits:
        """These, and the defaults for those that are None."""
        own = {name: value for name, value in asdict(self).items() if value is not None}
        return Limits(**(asdict(defaults) | own))


NO_LIMITS: Final = Limits()


def limits_of(env: Mapping[str, str]) -> Limits:
    """The defaults that ``FEATUREPACK_TEAM_*`` name; docs/settings.md. Raises InvalidRequest."""
    given = {
        field.name: env.get(f"FEATUREPACK_TEAM_{field.name.upper()}") for field in fields(Limits)
    }
    whole = {field.name for field in fields(Limits) if "int" in str(field.type)}
    found: dict[str, Any] = {}
    for name, text in given.items():
        if text:
            found[name] = _number(f"FEATUREPACK_TEAM_{name.upper()}", text, name in whole)
    return Limits(**found)


def _number(name: str, text: str, whole: bool) -> float:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf or not (whole or value):
        what = "a whole number from 0 on" if whole else "a number above 0"
        raise InvalidRequest(f"{name} is {text!r}", value=text, remedy=f"give {what}")
    return value


@dataclass(frozen=True)
class Use:
    """What a team has of what is limited. ``heads`` are those asked for in the last minute."""

    stored_bytes: int
    queued_jobs: int
    heads: int


@dataclass(frozen=True)
class Day:
    """What was done for a team, and saved it, on one day; ``day`` counts days since 1970 in UTC.

    ``device_seconds`` are those for which workers held its jobs, times their devices;
    ``gpu_seconds`` are those of them on GPUs. Hits and copied rows saved the seconds beside them.
    """

    day: int
    jobs: int = 0
    device_seconds: float = 0.0
    gpu_seconds: float = 0.0
    rows_computed: int = 0
    rows_copied: int = 0
    hits: int = 0
    saved_by_hits: float = 0.0
    saved_by_copies: float = 0.0


class Teams(Queries):
    """Queries about teams; a team is whatever has a key or a limit."""

    def __init__(self, database: Database, defaults: Limits) -> None:
        super().__init__(database)
        self.defaults = defaults

    def names(self) -> list[str]:
        known = sa.union(sa.select(keys.c.team), sa.select(teams.c.team)).subquery()
        with self.database.read() as connection:
            return list(connection.execute(sa.select(known.c.team).order_by("team")).scalars())

    def own_limits(self, team: str) -> Limits:
        """What was set for this one; None where the default holds."""
        with self.database.read() as connection:
            return self._own_limits(connection, team)

    def limits(self, team: str) -> Limits:
        """What holds for a team."""
        with self.database.read() as connection:
            return self.limits_in(connection, team)

    def limits_in(self, connection: sa.Connection, team: str) -> Limits:
        return self._own_limits(connection, team).over(self.defaults)

    def _own_limits(self, connection: sa.Connection, team: str) -> Limits:
        row = connection.execute(select(teams, Limits).where(teams.c.team == team)).first()
        return Limits(**row._mapping) if row else Limits()

    def limit(self, team: str, limits: Limits) -> None:
        """Set a team's limits; where they are None the default holds."""
        with self.database.write() as connection:
            connection.execute(sa.delete(teams).where(teams.c.team == team))
            connection.execute(sa.insert(teams).values(asdict(limits) | {"team": team}))

    def use(self, team: str) -> Use:
        with self.database.read() as connection:
            return Use(
                stored_bytes(connection, team),
                queued_jobs(connection, team),
                heads_lately(connection, self.database, team),
            )

    def days(self, team: str, most: int) -> list[Day]:
        """The last days on which anything was done for a team, newest first."""
        day = sa.cast(sa.func.floor(ledger.c.ended / DAY), sa.Integer).label("day")
        on_gpu = sa.case((ledger.c.device.like("%cuda%"), ledger.c.seconds), else_=0.0)
        sums = {
            "device_seconds": ledger.c.seconds,
            "gpu_seconds": on_gpu,
            "rows_computed": ledger.c.rows_computed,
            "rows_copied": ledger.c.rows_copied,
            "saved_by_copies": ledger.c.seconds_saved,
        }
        first = sa.func.floor(self.database.now / DAY) - most + 1
        work = sa.select(
            day,
            sa.func.count(sa.distinct(ledger.c.job_id)).label("jobs"),
            *(sa.func.sum(column).label(name) for name, column in sums.items()),
        ).where(ledger.c.team == team, ledger.c.ended >= first * DAY)
        answered = sa.select(
            hits.c.day, hits.c.hits, hits.c.seconds_saved.label("saved_by_hits")
        ).where(hits.c.team == team, hits.c.day >= first)
        found: dict[int, dict[str, Any]] = {}
        with self.database.read() as connection:
            for query in (work.group_by(day), answered):
                for row in connection.execute(query):
                    found.setdefault(row.day, {}).update(row._mapping)
        return [_day(found[number]) for number in sorted(found, reverse=True)]


def _day(values: dict[str, Any]) -> Day:
    """PostgreSQL sums whole numbers as decimals."""
    kinds = {field.name: float if field.type == "float" else int for field in fields(Day)}
    numbers: dict[str, Any] = {name: kinds[name](value) for name, value in values.items()}
    return Day(**numbers)


def stored_bytes(connection: sa.Connection, team: str, but_pack: str = "") -> int:
    """Of a team's packs, except one, and of the images that its datasets keep in the store."""
    kept = sa.select(packs.c.bytes).where(packs.c.team == team, packs.c.pack_id != but_pack)
    images = sa.select(datasets.c.dataset_id, datasets.c.bytes).where(datasets.c.team == team)
    total = 0
    for part in (kept.subquery(), images.distinct().subquery()):
        total += int(connection.execute(sa.select(sa.func.sum(part.c.bytes))).scalar() or 0)
    return total


def queued_jobs(connection: sa.Connection, team: str) -> int:
    query = sa.select(sa.func.count()).where(jobs.c.team == team, jobs.c.state == "queued")
    return int(connection.execute(query).scalar_one())


def heads_lately(connection: sa.Connection, database: Database, team: str) -> int:
    """How many a team asked for in the last minute."""
    query = sa.select(sa.func.count()).where(
        jobs.c.team == team, jobs.c.kind == "head", jobs.c.created > database.now - MINUTE
    )
    return int(connection.execute(query).scalar_one())
