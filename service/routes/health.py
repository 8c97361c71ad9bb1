"""``/healthz`` and ``/readyz``: alive, and able to work."""

from __future__ import annotations

from fastapi import APIRouter

from cache.errors import Unavailable
from service.state import Kept

router = APIRouter(tags=["health"])


@router.get("/healthz")
def healthz() -> dict[str, str]:
    """The process answers."""
    return {"status": "alive"}


@router.get("/readyz")
def readyz(kept: Kept) -> dict[str, object]:
    """Database and store answer, and a worker was heard of lately; else 503."""
    workers = kept.catalogue.live_workers(kept.settings.worker_silence_seconds)
    if not kept.store.root.is_dir():
        raise Unavailable("the store is gone", value=str(kept.store.root), remedy="mount it again")
    if not workers:
        raise Unavailable("no worker is alive", value=0, remedy="start one: featurepack worker")
    return {"status": "ready", "workers": [vars(worker) for worker in workers]}
