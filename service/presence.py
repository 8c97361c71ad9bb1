"""Which teams ask for anything just now. To be used on the event loop only."""

from __future__ import annotations

import time
from typing import Final

LATELY_SECONDS: Final = 10.0
"""A team that asked so lately will ask again: what it needs is kept free."""
COUNT_SECONDS: Final = 1.0


class Presence:
    """Who asked lately. Callers without a team take part in nothing."""

    def __init__(self) -> None:
        self._asked: dict[str, float] = {}
        self._teams = 0
        self._counted = float("-inf")

    def note(self, team: str) -> None:
        """It asks for something."""
        now = time.monotonic()
        new = now - self._asked.get(team, float("-inf")) >= LATELY_SECONDS
        self._asked[team] = now
        if new or now - self._counted >= COUNT_SECONDS:
            self._asked = {
                name: asked for name, asked in self._asked.items() if now - asked < LATELY_SECONDS
            }
            self._teams, self._counted = len(self._asked), now

    @property
    def teams(self) -> int:
        """How many teams asked lately, as of the last second."""
        return self._teams
