"""The application: routes, errors, limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp

from service import problems
from service.access_log import AccessLog
from service.allowances import InTurn
from service.audited import Audited
from service.browsers import Browsers
from service.entrance import Entrance
from service.observe import Observe
from service.routes import (
    advice,
    audit,
    bulk,
    datasets,
    events,
    features,
    files,
    h5,
    head_files,
    heads,
    health,
    jobs,
    keys,
    metrics,
    networks,
    overview,
    pack_views,
    packs,
    page,
    predictions,
    reference,
    session,
    studies,
    teams,
    thumbnails,
    weights,
)
from service.settings import ServiceSettings
from service.state import State, open_state
from service.uploads import FORM_LIMITS, LimitBodies

VERSION = "0.1.0"

DESCRIPTION = """
A bottleneck feature cache: ask for a (network, dataset) pair, get the frozen network's features,
computed once and reused by all.

Errors are `application/problem+json`: `type` is stable, `remedy` says what to do.
"""


class _Application(FastAPI):
    """FastAPI, with what surrounds its own handling of errors."""

    def build_middleware_stack(self) -> ASGIApp:
        kept: State = self.state.featurepack
        audited = Audited(super().build_middleware_stack(), kept.audit)
        browsed = Browsers(audited, kept.settings.hosts)
        access = AccessLog(kept.settings.log_format)
        return Observe(browsed, kept.metrics, access, kept.tracing)


def create_app(settings: ServiceSettings) -> FastAPI:
    """The service over one store and one database, opened now and closed when it ends."""
    state = open_state(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        state.news.close()
        state.database.close()
        if state.tracing is not None:
            state.tracing.close()

    app = _Application(
        title="Featurepack",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,  # its files would be fetched from elsewhere
        redoc_url=None,
        form_limits={**FORM_LIMITS},
    )
    app.state.featurepack = state
    app.add_middleware(
        LimitBodies,
        upload_bytes=settings.max_upload_bytes,
        other_bytes=settings.max_body_bytes,
    )
    app.add_middleware(
        InTurn, allowances=state.allowances, turns=state.turns, presence=state.presence
    )
    app.add_middleware(Entrance, keyring=state.keyring, metrics_key=settings.metrics_key)
    problems.install(app)
    # Routes are tried in this order: first those that answer in less than a millisecond.
    for resource in (
        features,
        files,
        h5,
        jobs,
        bulk,  # before the packs called delete and pin
        packs,
        pack_views,
        thumbnails,
        networks,
        datasets,
        weights,
        heads,
        head_files,
        predictions,
        studies,
        teams,
        advice,
        overview,
        audit,
        events,
        keys,
        session,
        reference,
        health,
        metrics,
    ):
        app.include_router(resource.router, responses=problems.RESPONSES)
    app.include_router(page.router)
    return app
