"""What every task of a worker works with."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import nn

from cache import networks as catalogue_of_networks
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import START_SECONDS, Database
from cache.errors import CorruptData
from cache.eviction import make_room
from cache.leases import Leases
from cache.publish import quarantine
from cache.rates import Rates
from cache.recipe import Recipe
from cache.store import Store
from worker.checkpoints import load_state_dict
from worker.engine import choose_device, device_name
from worker.networks import build
from worker.settings import WorkerSettings
from worker.weights import locate

log = logging.getLogger("featurepack.worker")


@dataclass(frozen=True)
class Context:
    """The settings, and what they open."""

    settings: WorkerSettings
    database: Database
    leases: Leases
    rates: Rates
    catalogue: Catalogue
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)

    @cached_property
    def machine(self) -> str:
        """Where rates are measured: workers come and go, machines stay."""
        return f"{socket.gethostname()} {device_name(self.device)}"

    @property
    def store(self) -> Store:
        return self.settings.store

    def quarantine(self, pack_id: str, error: CorruptData) -> None:
        """Set a damaged pack aside; its next request builds it again."""
        log.warning("pack %s is quarantined: %s", pack_id, error.message)
        quarantine(self.catalogue, self.store, pack_id, error)

    def make_room(self, pack_id: str, needed_bytes: int) -> None:
        """Evict packs where the store's limit leaves no room for this one.

        Raises:
            TooLarge: the limit does not allow a pack of this size.
            Unavailable: everything else is pinned or in use just now.
        """
        make_room(self.catalogue, self.store, pack_id, needed_bytes, self.settings.max_pack_bytes)

    def build_network(self, recipe: Recipe, layers: Sequence[str]) -> nn.Module:
        """The recipe's network on the CPU, frozen, cut behind ``layers``.

        Raises:
            NotFound, Unavailable, CorruptData, InvalidRequest: as weights are found and checked.
        """
        info = catalogue_of_networks.get(recipe.network)
        source, _, rest = recipe.weights.partition(":")
        if source == "random":
            return build(info.name, None, int(rest), layers)
        path = locate(
            recipe.weights,
            network=info,
            weights_dir=self.settings.weights_dir,
            store=self.store,
        )
        return build(info.name, load_state_dict(path), None, layers)


def open_context(settings: WorkerSettings) -> Context:
    """Create the store's folders, bring the database to its newest form, choose the device.

    Raises:
        Conflict: the database belongs to another store.
    """
    database = Database(settings.database_url)
    settings.store.create()
    database.wait(START_SECONDS)
    database.migrate()
    bind_store(database, settings.store)
    return Context(
        settings=settings,
        database=database,
        leases=Leases(database),
        rates=Rates(database),
        catalogue=Catalogue(database),
        device=choose_device(settings.device),
    )
