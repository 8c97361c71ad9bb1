"""All changes of jobs, told to any number of listeners: one look a second for who see the same.

Each change has a number. A listener says which it heard last and gets what came since; where that
is no longer known, it is told to forget everything and gets all active jobs anew. To be used on the
event loop only.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Literal

from anyio.to_thread import run_sync

from cache.database import Database
from cache.errors import Busy, Unavailable
from cache.job import Job
from cache.job_changes import JobChanges
from cache.sight import Sight
from service.job_answers import JobAnswer

LOOK_SECONDS: Final = 1.0
LINGER_SECONDS: Final = 30.0
"""Looking goes on so long after the last listener left: one that comes back misses nothing."""
KEPT: Final = 2000
"""Changes that can be told again."""
LISTENERS: Final = 256
"""Who see the same."""


@dataclass(frozen=True)
class Event:
    """``data`` is JSON text."""

    kind: Literal["job", "ready", "reset"]
    data: str
    id: str


class Newsroom:
    """The news for each sight: nobody hears of what he may not see, nor counts it by its number."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: dict[Sight, News] = {}

    def of(self, sight: Sight) -> News:
        """What those hear who see this."""
        return self._told.setdefault(sight, News(self._database, sight))

    def close(self) -> None:
        """As :meth:`News.close`, for all."""
        for news in self._told.values():
            news.close()


class News:
    """What is known of the queue by all listeners that see the same."""

    def __init__(self, database: Database, sight: Sight) -> None:
        self._database = database
        self._sight = sight
        self._listeners = 0
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False
        self._forget()

    def _forget(self) -> None:
        self._changes = JobChanges(self._database, self._sight)
        self._run, self._number = secrets.token_hex(4), 0
        self._told: deque[Event] = deque(maxlen=KEPT)
        self._is_ready = False
        self._changed = asyncio.Event()

    def check_room(self) -> None:
        """Raises Busy where there are as many listeners as there may be."""
        if self._listeners >= LISTENERS:
            raise Busy(
                f"{LISTENERS} listeners hear the events already",
                value=LISTENERS,
                remedy="try again later, or ask GET /v1/jobs now and then",
            )

    async def listen(self, last_id: str | None) -> AsyncIterator[Event]:
        """What was missed since ``last_id``, or all active jobs; then changes, until the end."""
        self._listeners += 1
        try:
            self._start()
            while not (self._is_ready or self._is_closed):
                await self._changed.wait()
            heard = self._heard(last_id)
            is_first = last_id is None
            while not self._is_closed:
                if heard is None:
                    heard = self._number
                    for event in self._all_active(reset=not is_first):
                        yield event
                is_first, changed = False, self._changed
                if heard < self._oldest:  # the listener is so slow that we no longer know
                    heard = None
                    continue
                missed = [event for event in self._told if _number_of(event) > heard]
                for event in missed:
                    yield event
                    heard = _number_of(event)
                if not missed:
                    await changed.wait()
        finally:
            self._listeners -= 1

    @property
    def _oldest(self) -> int:
        """The number after which all changes are known."""
        return self._number - len(self._told)

    def _all_active(self, reset: bool) -> list[Event]:
        active = self._changes.active
        told = [self._event("reset", "{}")] if reset else []
        told += [self._event("job", _text(job)) for job in active]
        return [*told, self._event("ready", f'{{"active": {len(active)}}}')]

    def _event(self, kind: Literal["job", "ready", "reset"], data: str) -> Event:
        return Event(kind, data, f"{self._run}-{self._number}")

    def _heard(self, last_id: str | None) -> int | None:
        """The number of the change that was heard last, if all that came since is known."""
        run, _, number = (last_id or "").rpartition("-")
        if run != self._run or not number.isdecimal():
            return None
        return int(number) if self._oldest <= int(number) <= self._number else None

    def _start(self) -> None:
        if self._looking is None or self._looking.done():
            self._forget()
            self._looking = asyncio.create_task(self._look())

    async def _look(self) -> None:
        """Look once a second, until nobody has listened for a while."""
        alone = 0.0
        while alone < LINGER_SECONDS:
            with suppress(Unavailable):  # the database is away; the news come when it is back
                self._tell(await run_sync(self._changes.look))
            await asyncio.sleep(LOOK_SECONDS)
            alone = 0.0 if self._listeners else alone + LOOK_SECONDS

    def _tell(self, jobs: list[Job]) -> None:
        """What the first look finds is told to each listener as what is active."""
        if self._is_ready:
            for job in jobs:
                self._number += 1
                self._told.append(self._event("job", _text(job)))
        if jobs or not self._is_ready:
            self._is_ready = True
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def close(self) -> None:
        """Look no more, and end what listeners hear: a server waits for open answers."""
        self._is_closed = True
        self._changed.set()
        if self._looking is not None:
            self._looking.cancel()


def _text(job: Job) -> str:
    return JobAnswer.of(job).model_dump_json()


def _number_of(event: Event) -> int:
    return int(event.id.rpartition("-")[2])
