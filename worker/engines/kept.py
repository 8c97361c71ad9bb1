"""The engine of the last job, for the next one that needs the same."""

from __future__ import annotations

from collections.abc import Callable

from worker.engines.engine import Engine


class KeptEngine:
    """At most one engine: datasets come one after the other, networks change seldom."""

    def __init__(self) -> None:
        self._key: object = None
        self._engine: Engine | None = None

    def get(self, key: object, make: Callable[[], Engine]) -> Engine:
        """The kept engine if it was made for ``key``; else a new one, after the old has gone."""
        if self._engine is None or key != self._key:
            self.drop()
            self._engine, self._key = make(), key
        return self._engine

    def drop(self) -> None:
        """Its state is not to be trusted any more, or its memory is needed."""
        self._engine = self._key = None
