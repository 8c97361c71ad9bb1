"""Which engine a job gets: the fastest that keeps the bound, as measured on this machine.

A small job takes the eager engine, since measuring would cost more than it saves. A larger one
takes what was chosen before for the same network, layers, input and versions on this machine, or
has the candidates measured and the choice kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import fx

from cache.engines import Choice, Engines
from cache.errors import Unavailable
from worker.engines.compiled import CompiledEngine, can_compile, compiled_name
from worker.engines.cuda import CudaEngine
from worker.engines.depthwise import has_depthwise
from worker.engines.eager import EagerEngine
from worker.engines.engine import Engine, EngineTask
from worker.engines.folding import fold
from worker.engines.probe import Probe
from worker.versions import installed

log = logging.getLogger("featurepack.worker")

LONG_JOB = 20_000
"""Images from which a minute of compiling pays."""

OPENVINO_SIZES = (2, 8)
"""Images of one call: few stay in the cache, more share the reading of large weights."""

LIBRARIES = ("torch", "openvino")
"""Their releases differ in speed."""

MARGIN = 1.15
"""By how much a candidate must beat those before it: measurements are noisy, and engines of
different kinds differ in the last bits."""

MARGIN_OF_KIND = 1.05
"""The same where only the size of a call differs, which changes no bit."""


@dataclass(frozen=True)
class Memory:
    """The choices that were made on a machine."""

    engines: Engines
    machine: str

    def find(self, task: EngineTask, threads: int) -> Choice | None:
        with suppress(Unavailable):
            return self.engines.find(self.machine, _about(task, threads))
        return None

    def keep(self, task: EngineTask, threads: int, choice: Choice) -> None:
        with suppress(Unavailable):  # then it is measured again some time
            self.engines.keep(self.machine, _about(task, threads), choice)

    def refuse(self, task: EngineTask, threads: int, engine: str) -> None:
        """An engine's rows were beyond the bound: it is not to be chosen again for this."""
        known = self.find(task, threads) or Choice(engine)
        refused = tuple(dict.fromkeys((*known.refused, engine)))
        self.keep(task, threads, Choice("", refused=refused))


def make_engine(
    network: fx.GraphModule, task: EngineTask, device: torch.device, threads: int, memory: Memory
) -> Engine:
    """The engine for a task; ``network`` is used up."""
    if device.type == "cuda":
        return _cuda(network, task, device, threads, memory)
    if task.is_small:
        return EagerEngine(fold(network), _eager(network, task))
    known = memory.find(task, threads)
    if known and known.engine:
        candidates = {one.name: one for one in _candidates(fold(network), task, threads)}
        return candidates[known.engine].build()
    probe = Probe(network, task)
    candidates_of_folded = _candidates(fold(network), task, threads)
    refused = known.refused if known else ()
    choice, engine = _measured(candidates_of_folded, task, probe, refused)
    memory.keep(task, threads, choice)
    return engine


def _cuda(
    network: fx.GraphModule, task: EngineTask, device: torch.device, threads: int, memory: Memory
) -> Engine:
    """One engine, whose batch is found by trying; the same from then on.

    Where ``fast`` was refused, it is met by float32.
    """
    known = memory.find(task, threads) or Choice("")
    allowed = replace(task, compute="float32") if known.refused else task
    engine = CudaEngine(fold(network), allowed, device, known.batch)
    if known.batch != engine.batch:
        memory.keep(task, threads, replace(known, engine=engine.name, batch=engine.batch))
    return engine


def replaceable(engine: str, device: torch.device) -> bool:
    """Whether another engine could take its place, should its rows be beyond the bound."""
    return "float16" in engine if device.type == "cuda" else engine != "eager"


def _measured(
    candidates: list[Candidate], task: EngineTask, probe: Probe, refused: tuple[str, ...]
) -> tuple[Choice, Engine]:
    """The candidates' rates, and the best of those that keep the bound."""
    engines: list[Engine] = []
    for candidate in candidates:
        needless = candidate.last_resort and (engines[1:] or task.rows < LONG_JOB)
        if needless or candidate.name in refused:
            continue
        try:
            engine = candidate.build()
            if candidate.name == "eager" or probe.holds(engine):
                engines.append(engine)
        except RuntimeError as error:  # an operation that an engine does not know
            log.info("%s: no %s: %s", task.network, candidate.name, error)
    rates = probe.images_per_second(engines)
    best = engines[0]
    for engine in engines[1:]:
        margin = MARGIN_OF_KIND if type(engine) is type(best) else MARGIN
        if rates[engine.name] > margin * rates[best.name]:
            best = engine
    log.info("%s: %s of %s", task.network, best.name, rates)
    return Choice(best.name, rates, refused), best


@dataclass(frozen=True)
class Candidate:
    """An engine that could be made. ``last_resort`` is tried where others fail."""

    name: str
    build: Callable[[], Engine]
    last_resort: bool = False


def _candidates(network: fx.GraphModule, task: EngineTask, threads: int) -> list[Candidate]:
    """What a CPU can do, the likely best first; ``fast`` may be met by float32, too."""
    exact, eager = replace(task, compute="float32"), _eager(network, task)
    found = _openvino(network, exact, threads) if find_spec("openvino") else []
    found.append(Candidate("eager", lambda: EagerEngine(network, exact)))
    if task.compute == "fast" and _has_bfloat16():
        if find_spec("openvino"):
            found = _openvino(network, task, threads) + found
        if eager.compute == "fast":
            found.append(Candidate("eager bfloat16", lambda: EagerEngine(network, eager)))
    if can_compile():
        name = compiled_name(eager)
        found.append(Candidate(name, lambda: CompiledEngine(network, eager), last_resort=True))
    return found


def _eager(network: fx.GraphModule, task: EngineTask) -> EngineTask:
    """The task as PyTorch can do it: its bfloat16 has no exceptions."""
    return replace(task, compute="float32") if has_depthwise(network) else task


def _openvino(network: fx.GraphModule, task: EngineTask, threads: int) -> list[Candidate]:
    from worker.engines import openvino

    model = cache(lambda: openvino.convert(network, task))
    return [
        Candidate(
            openvino.name_of(task, size),
            partial(lambda size: openvino.OpenVinoEngine(model(), task, threads, size), size),
        )
        for size in OPENVINO_SIZES
    ]


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16; else it is slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _about(task: EngineTask, threads: int) -> dict[str, Any]:
    """Everything that decides which engine is the fastest, besides the machine."""
    return {
        "network": task.network,
        "layers": sorted(task.layers),
        "compute": task.compute,
        "input": list(task.transform.output_HW),
        "resample": task.transform.resample,
        "threads": threads,
        "versions": dict.fromkeys(LIBRARIES) | installed(LIBRARIES),
    }
