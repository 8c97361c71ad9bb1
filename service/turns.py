"""A team's requests are answered a few at a time while other teams ask, too.

A request takes one of its team's places while it is worked on: not while its body comes in, while
it waits for a job, or once its answer is on the way. Those beyond the places wait, in order, and
cost nothing but their connection. So a team that floods fills neither the threads nor the event
loop, and another's request is worked on at once.
"""

from __future__ import annotations

from asyncio import Future, get_running_loop
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.presence import Presence

ALONE: Final = 32
"""A team's places while no other asks; anyio's threads are 40."""
AMONG: Final = 2
"""While others ask. All share one interpreter: more would only stand in the way of each other."""

_turn: ContextVar[Turn | None] = ContextVar("turn", default=None)


@dataclass
class _Team:
    working: int = 0
    waiting: deque[Future[None]] = field(default_factory=deque)


class Turns:
    """The places of all teams. To be used on the event loop only."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._teams: dict[str, _Team] = {}

    def of(self, team: str) -> Turn:
        return Turn(self, self._teams.setdefault(team, _Team()))

    @property
    def places(self) -> int:
        return AMONG if self._presence.teams > 1 else ALONE


class Turn:
    """One request's place, or its wait for one."""

    def __init__(self, turns: Turns, team: _Team) -> None:
        self._turns = turns
        self._team = team
        self._has_place = False
        self._is_over = False

    async def take(self) -> None:
        """Wait for a place. None is needed any more once the turn is over."""
        if self._is_over or self._has_place:
            return
        team = self._team
        if team.waiting or team.working >= self._turns.places:
            place: Future[None] = get_running_loop().create_future()
            team.waiting.append(place)
            try:
                await place
            except BaseException:
                if place.done() and not place.cancelled():
                    self._pass_on()
                elif place in team.waiting:  # not passed over by then
                    team.waiting.remove(place)
                raise
        else:
            team.working += 1
        self._has_place = True

    def leave(self) -> None:
        """Give the place to whoever waits for one."""
        if self._has_place:
            self._has_place = False
            self._pass_on()

    def end(self) -> None:
        """The answer begins: the rest needs no place."""
        self._is_over = True
        self.leave()

    def _pass_on(self) -> None:
        team = self._team
        team.working -= 1
        while team.waiting and team.working < self._turns.places:
            place = team.waiting.popleft()
            if not place.done():
                team.working += 1
                place.set_result(None)


@asynccontextmanager
async def without_place() -> AsyncIterator[None]:
    """The block waits for something that takes long, and needs no place meanwhile."""
    turn = _turn.get()
    if turn is None:
        yield
        return
    turn.leave()
    try:
        yield
    finally:
        await turn.take()


async def in_turn(turn: Turn, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Call ``app`` when there is a place for it."""

    async def received() -> Message:
        turn.leave()  # the rest of a body may be long in coming
        message = await receive()
        await turn.take()
        return message

    async def sent(message: Message) -> None:
        turn.end()
        await send(message)

    token = _turn.set(turn)
    try:
        await turn.take()
        await app(scope, received, sent)
    finally:
        turn.end()
        _turn.reset(token)
