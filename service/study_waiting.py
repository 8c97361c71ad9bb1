"""Waiting for a study, as RFC 7240 lets a client prefer it."""

from __future__ import annotations

import asyncio
import time

from anyio.to_thread import run_sync

from cache.rows import StudyRow
from service.state import State
from service.study_state import Seen, look, state_of
from service.turns import without_place
from service.waiting import pause_after


async def wait_for_study(kept: State, row: StudyRow, seconds: float) -> list[Seen]:
    """The cells as they are when all have ended, or after ``seconds``."""
    began = time.monotonic()
    seen = await run_sync(look, kept, row)
    if seconds <= 0:
        return seen
    async with without_place():
        while state_of(seen) == "running" and (waited := time.monotonic() - began) < seconds:
            await asyncio.sleep(min(pause_after(waited), seconds - waited))
            seen = await run_sync(look, kept, row)
    return seen
