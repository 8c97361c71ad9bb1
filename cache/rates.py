"""How fast each machine computes each network, as measured by the jobs that it did."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from cache.database import Database
from cache.recipe import Recipe
from cache.sight import Sight
from cache.tables import rates, workers


@dataclass(frozen=True)
class Rate:
    machine: str
    images_per_second: float


class Rates:
    """Statements over the measured rates. A rate belongs to network, arithmetic and input size.

    One that was measured by a private job is seen from its space alone: that a network was ever
    used tells of the job.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def keep(self, space: str, machine: str, recipe: Recipe, images_per_second: float) -> None:
        """The newest measurement of a machine counts."""
        key = _key(recipe) | {"space": space, "machine": machine}
        same = sa.and_(*(rates.c[name] == value for name, value in key.items()))
        measured = {"images_per_second": images_per_second, "measured": self.database.now}
        with self.database.write() as connection:
            if connection.execute(sa.update(rates).where(same).values(measured)).rowcount == 0:
                connection.execute(sa.insert(rates).values(key | measured))

    def find(self, recipe: Recipe, silence_seconds: float, sight: Sight) -> Rate | None:
        """The newest measurement, of a machine with a live worker if there is one."""
        alive = sa.select(workers.c.machine).where(
            workers.c.seen >= self.database.now - silence_seconds
        )
        query = (
            sa.select(rates.c.machine, rates.c.images_per_second)
            .where(*(rates.c[name] == value for name, value in _key(recipe).items()))
            .where(sight.of(rates))
            .order_by(
                sa.case((rates.c.machine.in_(alive), 0), else_=1),
                rates.c.measured.desc(),
                rates.c.machine,
            )
        )
        with self.database.read() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else Rate(row.machine, row.images_per_second)


def _key(recipe: Recipe) -> dict[str, object]:
    height, width = recipe.transform.output_HW
    return {
        "network": recipe.network,
        "compute": recipe.numerics.compute,
        "height": height,
        "width": width,
    }
