"""Which engine proved fastest for what, on each machine, so that nobody measures it twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from cache.database import Database
from cache.identity import blake2b_hex, canonical_json
from cache.tables import engines


@dataclass(frozen=True)
class Choice:
    """The engine's name, the images/s of all that were measured, and those that proved wrong.

    ``batch`` is the size that was found on a GPU.
    """

    engine: str
    rates: Mapping[str, float] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    batch: int | None = None


class Engines:
    """Statements over the chosen engines. ``about`` is everything that speed depends on."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, machine: str, about: Mapping[str, Any]) -> Choice | None:
        query = sa.select(engines.c.choice).where(_same(machine, about))
        with self.database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        kept = row.choice
        return Choice(kept["engine"], kept["rates"], tuple(kept["refused"]), kept["batch"])

    def keep(self, machine: str, about: Mapping[str, Any], choice: Choice) -> None:
        """The newest choice counts."""
        values = {"choice": asdict(choice), "measured": self.database.now}
        key = {"machine": machine, "key": _key(about), "about": dict(about)}
        with self.database.write() as connection:
            update = sa.update(engines).where(_same(machine, about)).values(values)
            if connection.execute(update).rowcount == 0:
                connection.execute(sa.insert(engines).values(key | values))


def _same(machine: str, about: Mapping[str, Any]) -> sa.ColumnElement[bool]:
    return sa.and_(engines.c.machine == machine, engines.c.key == _key(about))


def _key(about: Mapping[str, Any]) -> str:
    return blake2b_hex(canonical_json(dict(about)))[:32]
