"""What routes work with: the settings, and what they open. One value per application."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated

from anyio import CapacityLimiter
from fastapi import Depends, Request

from cache.audit import Audit
from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Unauthorised
from cache.jobs import Jobs
from cache.leases import Leases
from cache.opening import open_database
from cache.quotas import Quotas
from cache.rates import Rates
from cache.store import Store
from cache.studies import Studies
from cache.teams import Teams
from cache.tracing import Tracing, open_tracing
from service.allowances import Allowances
from service.keyring import Keyring
from service.metrics import Metrics
from service.news import Newsroom
from service.presence import Presence
from service.scrape import Scrape
from service.settings import ServiceSettings
from service.shelf import PackShelf
from service.transfers import Transfers
from service.turns import Turns
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
    news: Newsroom
    keyring: Keyring
    metrics: Metrics
    tracing: Tracing | None
    teams: Teams
    allowances: Allowances
    presence: Presence
    turns: Turns
    audit: Audit

    @property
    def store(self) -> Store:
        return self.settings.store


def open_state(settings: ServiceSettings) -> State:
    """Create the store's folders and bring the database to its newest form.

    Raises:
        Conflict, Unavailable: as :func:`cache.opening.open_database`.
        Unauthorised: others could reach the service, and there is no key.
    """
    database = open_database(settings.database_url, settings.store)
    keyring = Keyring(database, settings.admin_key)
    _refuse_open_doors(keyring, settings.host)
    catalogue, teams, presence = Catalogue(database), Teams(database, settings.team), Presence()
    metrics = Metrics()
    metrics.registry.register(Scrape(settings, database))
    database.time_statements(metrics.database_seconds.observe)
    return State(
        settings=settings,
        database=database,
        jobs=Jobs(database, Quotas(teams)),
        leases=Leases(database),
        rates=Rates(database),
        catalogue=catalogue,
        studies=Studies(database),
        shelf=PackShelf(catalogue, settings.store),
        views=Views(settings.store),
        transfers=Transfers(settings.large_transfers, settings.small_transfers, presence),
        thumbnails=CapacityLimiter(THUMBNAILS),
        news=Newsroom(database),
        keyring=keyring,
        metrics=metrics,
        tracing=open_tracing("featurepack-service", settings.traces),
        teams=teams,
        allowances=Allowances(teams),
        presence=presence,
        turns=Turns(presence),
        audit=Audit(database),
    )


def _refuse_open_doors(keyring: Keyring, host: str) -> None:
    if keyring.is_open() and not _is_loopback(host):
        raise Unauthorised(
            f"there is no key, and whoever reaches {host} could do everything",
            value=host,
            remedy="name a file with an admin key in FEATUREPACK_ADMIN_KEY_FILE (openssl rand "
            "-hex 32 makes one); or listen on 127.0.0.1 and make the first key there: featurepack "
            "keys create --team NAME --scope admin",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def state_of(request: Request) -> State:
    state: State = request.app.state.featurepack
    return state


async def _state(request: Request) -> State:  # async: it needs no thread
    return state_of(request)


Kept = Annotated[State, Depends(_state)]
"""A route's parameter of this type is the application's state."""
