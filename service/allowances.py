"""What each team may ask of this process: its limits, remembered, and its requests, counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from anyio.to_thread import run_sync
from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from cache.errors import FeaturepackError, QuotaExceeded, Unavailable
from cache.quotas import ASK
from cache.teams import Limits, Teams
from service.caller import PLACE, Caller
from service.presence import Presence
from service.problems import problem
from service.turns import Turns, in_turn

LIMITS: Final = "featurepack.limits"
"""Where an ASGI scope has the limits of the caller's team."""
REMEMBERED_SECONDS: Final = 5.0
"""A limit that another process changed holds so long."""


@dataclass
class _Allowance:
    """``tokens`` are the requests that may come at once; they come back with time."""

    limits: Limits
    looked: float
    tokens: float
    counted: float


class Allowances:
    """To be used on the event loop only, but for :meth:`known` and :meth:`forget`."""

    def __init__(self, teams: Teams) -> None:
        self._teams = teams
        self._known: dict[str, _Allowance] = {}

    async def take(self, team: str) -> Limits:
        """Count a request; what the team may otherwise.

        A token bucket: as many requests at once as may come in a second.

        Raises:
            QuotaExceeded: more came than may.
            Unavailable: the database does not answer, and did not before.
        """
        known = self._known.get(team)
        if known is None or time.monotonic() - known.looked >= REMEMBERED_SECONDS:
            known = await self._look(team, known)
        rate = known.limits.requests_per_second
        if rate is not None:
            now = time.monotonic()
            most = max(1.0, rate)
            known.tokens = min(most, known.tokens + (now - known.counted) * rate)
            known.counted = now
            if known.tokens < 1:
                raise QuotaExceeded(
                    f"team {team} may make {rate:g} requests per second, and makes more",
                    value=rate,
                    remedy=f"ask more slowly, or for more at once; {ASK} --requests-per-second N",
                    retry_after=(1 - known.tokens) / rate,
                )
            known.tokens -= 1
        return known.limits

    async def _look(self, team: str, known: _Allowance | None) -> _Allowance:
        if known is not None:
            known.looked = time.monotonic()  # the others go on with what is known
        try:
            limits = await run_sync(self._teams.limits, team)
        except Unavailable:
            if known is None:
                raise
            return known
        now, again = time.monotonic(), self._known.get(team)
        if again is None:
            tokens = max(1.0, limits.requests_per_second or 1.0)
            again = self._known[team] = _Allowance(limits, now, tokens, now)
        again.limits, again.looked = limits, now
        return again

    def known(self, team: str | None) -> Limits:
        """What holds for a team that asks just now; none for callers without one."""
        found = None if team is None else self._known.get(team)
        return found.limits if found else Limits()

    def forget(self, team: str) -> None:
        """Its limits were changed."""
        if known := self._known.get(team):
            known.looked = float("-inf")


class InTurn:
    """Counts a team's requests, and lets them be worked on in its turn."""

    def __init__(
        self, app: ASGIApp, allowances: Allowances, turns: Turns, presence: Presence
    ) -> None:
        self.app = app
        self.allowances = allowances
        self.turns = turns
        self.presence = presence

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller | None = scope.get(PLACE)
        if caller is None or caller.team is None:
            await self.app(scope, receive, send)
            return
        self.presence.note(caller.team)
        try:
            scope[LIMITS] = await self.allowances.take(caller.team)
        except FeaturepackError as error:
            await problem(error, Request(scope))(scope, receive, send)
            return
        await in_turn(self.turns.of(caller.team), self.app, scope, receive, send)
