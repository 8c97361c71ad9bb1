"""What routes work with: the settings, and what they open. One value per application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from cache.audit import Audit
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import START_SECONDS, Database
from cache.jobs import Jobs
from cache.leases import Leases
from cache.rates import Rates
from cache.store import Store
from cache.studies import Studies
from service.news import News
from service.settings import ServiceSettings
from service.shelf import PackShelf
from service.transfers import Transfers
from service.views import Views

THUMBNAILS = 2
"""Images that are made smaller at once: one of 100 million pixels takes 300 MB meanwhile."""


@dataclass(frozen=True)
class State:
    settings: ServiceSettings
    database: Database
    jobs: Jobs
    leases: Leases
    rates: Rates
    catalogue: Catalogue
    studies: Studies
    shelf: PackShelf
    views: Views
    transfers: Transfers
    thumbnails: CapacityLimiter
    news: News
    audit: Audit

    @property
    def store(self) -> Store:
        return self.settings.store


def open_state(settings: ServiceSettings) -> State:
    """Create the store's folders and bring the database to its newest form.

    Raises:
        Conflict: the database belongs to another store.
    """
    database = Database(settings.database_url)
    settings.store.create()
    database.wait(START_SECONDS)
    database.migrate()
    bind_store(database, settings.store)
    catalogue = Catalogue(database)
    return State(
        settings=settings,
        database=database,
        jobs=Jobs(database),
        leases=Leases(database),
        rates=Rates(database),
        catalogue=catalogue,
        studies=Studies(database),
        shelf=PackShelf(catalogue, settings.store),
        views=Views(settings.store),
        transfers=Transfers(settings.large_transfers, settings.small_transfers),
        thumbnails=CapacityLimiter(THUMBNAILS),
        news=News(database),
        audit=Audit(database),
    )


def state_of(request: Request) -> State:
    state: State = request.app.state.featurepack
    return state


async def _state(request: Request) -> State:  # async: it needs no thread
    return state_of(request)


Kept = Annotated[State, Depends(_state)]
"""A route's parameter of this type is the application's state."""
