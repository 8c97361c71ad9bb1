"""What runs in the process of a device: work comes in, and what is done of it is told."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch

from cache.errors import FeaturepackError
from cache.logs import log_to_stderr
from cache.origin import doing
from cache.pack_writer import Rows
from worker.allocator import keep_freed_memory
from worker.child import end_with_parent
from worker.context import Context, open_context
from worker.faults import as_failure
from worker.settings import WorkerSettings
from worker.sharing.work import Work, help_with

PORTION_ROWS = 256
"""Rows that a process takes at a time: few enough that all end at about the same time."""


@dataclass(frozen=True)
class Phase:
    """What a process does before it computes."""

    name: str


@dataclass(frozen=True)
class Ended:
    """Nothing is left of the work, and its files are closed."""


def serve(settings: WorkerSettings, connection: Connection, taken: Any) -> None:
    """Do work that comes through ``connection``, until this process is killed.

    ``taken`` counts the rows that the processes of all devices have taken of the work.
    """
    keep_freed_memory()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the worker's process decides what they mean
    end_with_parent()
    log_to_stderr(settings.log_format)
    torch.set_num_threads(settings.threads)
    context = open_context(settings)
    while True:
        connection.send(_outcome(context, connection, taken, connection.recv()))


def _outcome(context: Context, connection: Connection, taken: Any, work: Work) -> Any:
    """Ended, or the error that the work failed with."""
    try:
        if taken.value < len(work.row_R):  # else the others were faster than this one's start
            portions = _portions(work.row_R, taken)
            tell = partial(_tell, connection)
            with doing(work.origin):
                for event in help_with(context, work, portions, tell):
                    connection.send(event)
    except Exception as error:
        context.kept_engine.drop()
        failure: FeaturepackError = as_failure(error)
        return failure
    return Ended()


def _tell(connection: Connection, phase: str) -> None:
    connection.send(Phase(phase))


def _portions(row_R: Rows, taken: Any) -> Iterator[Rows]:
    """One portion after the other of those that no process has taken yet."""
    while True:
        with taken.get_lock():
            start = taken.value
            taken.value = start + PORTION_ROWS
        if start >= len(row_R):
            return
        yield row_R[start : start + PORTION_ROWS]
