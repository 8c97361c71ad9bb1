"""Whose a thing is, and what somebody may see.

Everything that is kept lies in a *space*: the shared one, which all teams see, or that of one team,
which is private to it. Queries take a :class:`Sight` and have no default for it: one that is
forgotten is a mistake that the type checker finds, and not a leak.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

SHARED: Final = ""
"""The space of what all teams see; no team has this name."""


@dataclass(frozen=True)
class Owner:
    """Where a thing lies, and whose it is; ``team`` None: from before there were teams."""

    space: str
    team: str | None


UNOWNED: Final = Owner(SHARED, None)
"""What is made where nobody needs a key."""


@dataclass(frozen=True)
class Sight:
    """The shared space and ``own``, or with ``everywhere`` all of them, ``own`` first."""

    own: str
    everywhere: bool = False

    def sees(self, space: str) -> bool:
        return self.everywhere or space in (SHARED, self.own)

    def of(self, table: sa.Table | sa.Alias) -> sa.ColumnElement[bool]:
        """For ``where``: the rows of a table with a column ``space`` that may be seen."""
        if self.everywhere:
            return sa.true()
        return table.c.space.in_(sorted({SHARED, self.own}))

    def nearest(self, table: sa.Table) -> sa.ColumnElement[int]:
        """For ``order_by``: what lies in one's own space first, then what is shared."""
        return sa.case((table.c.space == self.own, 0), (table.c.space == SHARED, 1), else_=2)


EVERYTHING: Final = Sight(SHARED, everywhere=True)
"""For workers and upkeep, which answer nobody; what they reuse is seen from the job's space."""
