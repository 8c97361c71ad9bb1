"""``/v1/events``: one stream of what happens to all jobs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.caller import Asking
from service.news import News
from service.state import Kept

router = APIRouter(prefix="/v1/events", tags=["jobs"])


async def news_with_room(kept: Kept, caller: Asking) -> News:
    """Checked before the stream begins, while the answer can still be a problem."""
    news = kept.news.of(caller.sight)
    news.check_room()
    return news


@router.get("", response_class=EventSourceResponse)
async def get_events(
    news: Annotated[News, Depends(news_with_room)],
    last_event_id: Annotated[str | None, Header(description="of the last event heard")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events: ``job`` for every active job, ``ready``, then ``job`` for each change.

    With ``Last-Event-ID`` what came since. After ``reset`` forget what was active: all of it
    follows. The queue is looked at once a second; of more than 1,000 active jobs, the running and
    the oldest queued ones are told.
    """
    async for event in news.listen(last_event_id):
        yield ServerSentEvent(raw_data=event.data, event=event.kind, id=event.id)
