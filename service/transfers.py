"""How many answers with rows or files are on their way at once.

Large ones and small ones are counted apart, and large ones are read from the disk by a few threads
of their own, so that however many large ones there are, a small one is answered at once. Teams that
ask at the same time have equal parts of the places; one that asks alone leaves a quarter of them
free, for whoever comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

from cache.errors import Busy
from service.presence import Presence

LARGE_BYTES = 1 << 20
"""What is larger counts as large."""

READERS = 4
"""Threads that read pieces of large answers: enough to keep a disk busy."""
READERS_AMONG = 1
"""Those of each team while others ask: between two pieces of one, there is time for the others."""


class Transfers:
    """The places there are. To be used on the event loop only."""

    def __init__(self, large: int, small: int, presence: Presence) -> None:
        self._places = {True: large, False: small}
        self._taken: dict[bool, Counter[str | None]] = {True: Counter(), False: Counter()}
        self._readers: dict[str | None, CapacityLimiter] = {}
        self._presence = presence

    @contextmanager
    def place(self, large: bool, team: str | None) -> Iterator[CapacityLimiter | None]:
        """Take a place while the block sends; the limit of threads that it reads in, if any.

        Raises:
            Busy: all places are taken, or all that the team may have.
        """
        taken, places = self._taken[large], self._places[large]
        most = self._most(places, team)
        if taken.total() >= places or taken[team] >= most:
            what = "large" if large else "small"
            whose = "" if taken.total() >= places else f" to team {team}"
            raise Busy(
                f"{min(most, places)} {what} answers are being sent{whose} already",
                value=min(most, places),
                remedy="try again after the seconds that Retry-After says; the operator sets "
                f"FEATUREPACK_{what.upper()}_TRANSFERS",
            )
        taken[team] += 1
        try:
            yield self._reader(team) if large else None
        finally:
            taken[team] -= 1
            if not taken[team]:
                del taken[team]

    def _reader(self, team: str | None) -> CapacityLimiter:
        found = self._readers.get(team)
        if found is None:
            found = self._readers[team] = CapacityLimiter(READERS)
        is_among = team is not None and self._presence.teams > 1
        found.total_tokens = READERS_AMONG if is_among else READERS
        return found

    def _most(self, places: int, team: str | None) -> int:
        if team is None:
            return places
        teams = self._presence.teams
        return -(-places // teams) if teams > 1 else places - places // 4
