"""``/metrics``: for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from service.state import Kept

router = APIRouter(tags=["health"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def metrics(kept: Kept) -> Response:
    """Requests, queue, workers, packs and what was saved, as docs/observing.md lists them.

    Where the database is away, what is known without it.
    """
    text = generate_latest(kept.metrics.registry)
    return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)
