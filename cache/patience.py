"""Connections to PostgreSQL that do not wait for ever.

A server that is frozen, or a network that swallows packets, leaves a query without an answer and
without an error. libpq limits how long connecting may take, not how long an answer may.
"""

from __future__ import annotations

import time
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen

Value = TypeVar("Value")

ANSWER_SECONDS = 10.0


class PatientConnection(psycopg.Connection[Any]):
    """Gives up a query after ``patience`` seconds, and the connection with it.

    Raises:
        psycopg.OperationalError: the server did not answer in time.
    """

    patience = ANSWER_SECONDS

    def wait(self, gen: PQGen[Value], interval: float = 0.1, timeout: float | None = None) -> Value:
        limit = timeout or self.patience
        began = time.monotonic()
        try:
            return super().wait(gen, interval, limit)
        except psycopg.OperationalError as error:
            if time.monotonic() - began < limit:
                raise
            self.pgconn.finish()  # what the server would say later belongs to no query any more
            raise psycopg.OperationalError(f"no answer within {limit:g} s") from error
