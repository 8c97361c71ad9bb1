"""torch.compile with the weights frozen in: for networks that OpenVINO cannot take."""

from __future__ import annotations

import shutil

from torch import nn

from worker.engines.eager import EagerEngine
from worker.engines.engine import EngineTask

COMPILERS = ("c++", "g++", "clang++")


class CompiledEngine(EagerEngine):
    """The eager engine with its network compiled; the first run takes a minute or so."""

    def __init__(self, network: nn.Module, task: EngineTask) -> None:
        super().__init__(network, task)
        self.name = compiled_name(task)
        self._network.compile(dynamic=False, options={"freezing": True, "compile_threads": 1})


def can_compile() -> bool:
    """Whether this machine has the C++ compiler that torch.compile calls."""
    return any(shutil.which(name) for name in COMPILERS)


def compiled_name(task: EngineTask) -> str:
    return "compiled bfloat16" if task.compute == "fast" else "compiled"
