"""``/healthz`` and ``/readyz``: alive, and able to work."""

from __future__ import annotations

from fastapi import APIRouter

from cache.health import look
from service.scrape import check_ready
from service.state import Kept

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
def readyz(kept: Kept) -> dict[str, object]:
    """Database and store answer, a worker was heard of lately, and jobs do not wait in vain.

    Else 503, which says what is wrong. Jobs wait in vain where they could have been claimed, and no
    live worker has done any real work of their lane, for `FEATUREPACK_WORK_SILENCE_SECONDS`. With
    nothing to do, a live worker is enough.
    """
    health = look(kept.database, kept.settings.worker_silence_seconds)
    check_ready(kept.settings, health)
    told = ("worker", "device", "machine", "started", "seen", "byte_limit")
    return {
        "status": "ready",
        "workers": [{name: getattr(worker, name) for name in told} for worker in health.live],
    }
