"""What routes work with: the settings, and what they open. One value per application."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from cache.catalogue import Catalogue
from cache.database import Database
from cache.jobs import Jobs
from cache.store import Store
from service.settings import ServiceSettings
from service.shelf import PackShelf
from service.views import Views


@dataclass(frozen=True)
class State:
    settings: ServiceSettings
    database: Database
    jobs: Jobs
    catalogue: Catalogue
    shelf: PackShelf
    views: Views

    @property
    def store(self) -> Store:
        return self.settings.store


def open_state(settings: ServiceSettings) -> State:
    """Create the store's folders and bring the database to its newest form."""
    database = Database(settings.database_url)
    settings.store.create()
    database.migrate()
    catalogue = Catalogue(database)
    return State(
        settings=settings,
        database=database,
        jobs=Jobs(database),
        catalogue=catalogue,
        shelf=PackShelf(catalogue, settings.store),
        views=Views(settings.store),
    )


def _state(request: Request) -> State:
    state: State = request.app.state.featurepack
    return state


Kept = Annotated[State, Depends(_state)]
"""A route's parameter of this type is the application's state."""
