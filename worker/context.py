"""What every task of a worker works with."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import fx

from cache import networks as catalogue_of_networks
from cache.catalogue import Catalogue
from cache.database import Database
from cache.engines import Engines
from cache.errors import CorruptData
from cache.eviction import make_room
from cache.job import Job
from cache.leases import Leases
from cache.opening import open_database
from cache.publish import quarantine
from cache.quotas import Quotas
from cache.rates import Rates
from cache.recipe import Recipe
from cache.store import Store
from cache.teams import Teams
from cache.tracing import Tracing, open_tracing
from worker.activity import Activity
from worker.checkpoints import load_state_dict
from worker.devices import choose_devices, device_names
from worker.engines import Engine, EngineTask, KeptEngine, Memory, make_engine
from worker.networks import build
from worker.settings import WorkerSettings
from worker.weights import locate

if TYPE_CHECKING:
    from worker.sharing import DeviceProcesses

log = logging.getLogger("featurepack.worker")


@dataclass(frozen=True)
class Context:
    """The settings, and what they open. Several ``devices`` are worked by a process each."""

    settings: WorkerSettings
    database: Database
    leases: Leases
    rates: Rates
    engines: Engines
    catalogue: Catalogue
    quotas: Quotas
    devices: tuple[torch.device, ...]
    stop: threading.Event = field(default_factory=threading.Event)
    kept_engine: KeptEngine = field(default_factory=KeptEngine)
    activity: Activity = field(default_factory=Activity)
    tracing: Tracing | None = None

    @cached_property
    def machine(self) -> str:
        """Where rates are measured: workers come and go, machines stay."""
        return f"{socket.gethostname()} {device_names(self.devices)}"

    @property
    def engine_memory(self) -> Memory:
        """Which engines were chosen before for one device of this machine."""
        return Memory(self.engines, f"{socket.gethostname()} {device_names(self.devices[:1])}")

    @property
    def device(self) -> str:
        """What computes, as the setting names it: ``cuda:0,cuda:1``."""
        return ",".join(map(str, self.devices))

    @property
    def threads(self) -> int:
        """Threads for one device."""
        return max(1, self.settings.threads // len(self.devices))

    @cached_property
    def helpers(self) -> DeviceProcesses | None:
        """The processes of the devices, where there are several."""
        from worker.sharing import DeviceProcesses  # each of its processes opens a context, too

        each = replace(self.settings, threads=self.threads)
        return DeviceProcesses(each, self.devices) if len(self.devices) > 1 else None

    def close(self) -> None:
        """End the processes, and leave the database."""
        if self.helpers:
            self.helpers.close()
        self.database.close()
        if self.tracing is not None:
            self.tracing.close()

    def engine(self, recipe: Recipe, task: EngineTask, tell: Callable[[str], None]) -> Engine:
        """The engine of the last job if it does this one, too; else a new one.

        ``tell`` hears what takes so long. Raises as :meth:`build_network`.
        """

        def make() -> Engine:
            tell("loading weights")
            network = self.build_network(recipe, task.layers)
            if not task.is_small:
                tell("choosing the engine")
            return make_engine(network, task, self.devices[0], self.threads, self.engine_memory)

        return self.kept_engine.get((recipe.forward_id, task.layers, task.is_small), make)

    def drop_engines(self) -> None:
        """None of those that are loaded is to be used again."""
        self.kept_engine.drop()
        if self.helpers:
            self.helpers.close()

    @property
    def store(self) -> Store:
        return self.settings.store

    def quarantine(self, pack_id: str, error: CorruptData) -> None:
        """Set a damaged pack aside; its next request builds it again."""
        log.warning("pack %s is quarantined: %s", pack_id, error.message)
        quarantine(self.catalogue, self.store, pack_id, error)

    def make_room(self, job: Job, pack_id: str, needed_bytes: int) -> None:
        """Evict packs where the store's limit leaves no room for this one.

        Raises:
            StorageFull: the job's team may not store so much.
            TooLarge: the limit does not allow a pack of this size.
            Unavailable: everything else is pinned or in use just now.
        """
        self.quotas.must_fit(self.store, job, pack_id, needed_bytes)
        make_room(self.catalogue, self.store, pack_id, needed_bytes, self.settings.max_pack_bytes)

    def build_network(self, recipe: Recipe, layers: Sequence[str]) -> fx.GraphModule:
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
    """Create the store's folders, bring the database to its newest form, choose the devices.

    Raises:
        InvalidRequest: there is no such device.
        Conflict, Unavailable: as :func:`cache.opening.open_database`.
    """
    devices = choose_devices(settings.device)
    database = open_database(settings.database_url, settings.store)
    return Context(
        settings=settings,
        database=database,
        leases=Leases(database),
        rates=Rates(database),
        engines=Engines(database),
        catalogue=Catalogue(database),
        quotas=Quotas(Teams(database, settings.team)),
        devices=devices,
        tracing=open_tracing("featurepack-worker", settings.traces),
    )
