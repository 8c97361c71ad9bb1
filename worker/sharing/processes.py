"""The processes of a worker's devices, as the worker sees them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from cache.errors import FeaturepackError, Unavailable
from worker.settings import WorkerSettings
from worker.sharing.process import Ended, Phase, serve
from worker.sharing.work import Loaded, Work
from worker.tally import Done

CHECK_SECONDS = 0.2
"""So often the worker is asked whether to go on."""


@dataclass(frozen=True)
class Helper:
    """The process of one device."""

    device: torch.device
    process: BaseProcess
    connection: Connection

    def give(self, work: Work) -> None:
        with self._alive():
            self.connection.send(work)

    def receive(self) -> Any:
        with self._alive():
            return self.connection.recv()

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """Raises Unavailable where the block learns that the process died."""
        try:
            yield
        except (EOFError, OSError) as error:
            raise Unavailable(
                f"the process of {self.device} died",
                value=self.process.pid,
                remedy="look at the worker's log and memory; the job is tried again by itself",
            ) from error


class DeviceProcesses:
    """One process for each device, started for the first job and kept for those that follow."""

    def __init__(self, settings: WorkerSettings, devices: Sequence[torch.device]) -> None:
        """``settings`` are those of each process but for its device."""
        self._settings = settings
        self._devices = tuple(devices)
        self._spawn = multiprocessing.get_context("spawn")
        self._taken: Any = self._spawn.Value("q", 0)
        self._helpers: list[Helper] = []

    def compute(
        self, work: Work, check: Callable[[], None], tell: Callable[[str], None]
    ) -> Generator[Loaded | Done]:
        """Have the work done by all of them; rows come as they are done, in no order.

        ``check`` is called again and again, and may raise to end it. If anything is raised,
        nothing computes or writes any more.

        Raises:
            FeaturepackError: what a process met, or Unavailable where one died.
        """
        if not self._helpers:
            self._start()
        try:
            yield from self._collect(work, check, tell)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        for device in self._devices:
            ours, theirs = self._spawn.Pipe()
            settings = replace(self._settings, device=str(device), traces=False)
            process = self._spawn.Process(target=serve, args=(settings, theirs, self._taken))
            process.start()
            theirs.close()  # so that its end is heard when the process ends
            self._helpers.append(Helper(device, process, ours))

    def _collect(
        self, work: Work, check: Callable[[], None], tell: Callable[[str], None]
    ) -> Generator[Loaded | Done]:
        self._taken.value = 0
        first, *others = self._helpers
        first.give(work)
        busy = {first.connection: first}
        while busy:
            check()
            for connection in wait(list(busy), CHECK_SECONDS):
                helper = busy[connection]  # type: ignore[index]
                event = helper.receive()
                if isinstance(event, FeaturepackError):
                    raise event
                if isinstance(event, Ended):
                    del busy[helper.connection]
                elif isinstance(event, Phase):
                    tell(event.name)
                else:
                    yield event
                if isinstance(event, Loaded) and helper is first:
                    # Only now, so that they find the engine that it chose, and its batch.
                    for other in others:
                        other.give(work)
                        busy[other.connection] = other

    def close(self) -> None:
        """Kill them: what they have not written yet is computed again some time."""
        for helper in self._helpers:
            helper.process.kill()
        for helper in self._helpers:
            helper.process.join()
            helper.connection.close()
        self._helpers.clear()
        self._taken = self._spawn.Value("q", 0)  # the one that died may have held its lock
