"""How a batch is run: one frozen network, a fixed batch shape, several ways to be fast.

``choice.py`` picks one of them for a job; ``engine.py`` says what they have in common.
"""

from worker.engines.choice import Memory, make_engine, replaceable
from worker.engines.engine import Engine, EngineTask
from worker.engines.kept import KeptEngine

__all__ = ["Engine", "EngineTask", "KeptEngine", "Memory", "make_engine", "replaceable"]
