"""What every task of a worker works with."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from cache import networks as catalogue_of_networks
from cache.catalogue import Catalogue
from cache.database import Database
from cache.leases import Leases
from cache.recipe import Recipe
from cache.store import Store
from worker.checkpoints import load_state_dict
from worker.engine import choose_device
from worker.networks import build
from worker.settings import WorkerSettings
from worker.weights import locate


@dataclass(frozen=True)
class Context:
    """The settings, and what they open."""

    settings: WorkerSettings
    database: Database
    leases: Leases
    catalogue: Catalogue
    device: torch.device
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def store(self) -> Store:
        return self.settings.store

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
    """Create the store's folders, bring the database to its newest form, choose the device."""
    database = Database(settings.database_url)
    settings.store.create()
    database.migrate()
    return Context(
        settings=settings,
        database=database,
        leases=Leases(database),
        catalogue=Catalogue(database),
        device=choose_device(settings.device),
    )
