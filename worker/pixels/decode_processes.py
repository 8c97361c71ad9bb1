"""Decoding in processes, where there are more cores than one interpreter can keep busy.

The processes are started afresh (a fork would take over locks and OpenMP's threads), write into
shared memory, load torch only if they must, and end when this process does.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from cache.errors import Unavailable
from cache.image_files import Entry, ImageFiles
from cache.recipe import Transform
from worker.allocator import keep_freed_memory
from worker.child import end_with_parent
from worker.pixels.decoding import Array, Decoded, decode_inputs, decode_sources
from worker.pixels.images import Pixels
from worker.pixels.slots import SharedMemory


@dataclass(frozen=True)
class Task:
    """What every process needs, once."""

    files: ImageFiles
    transform: Transform
    memory: SharedMemory


@dataclass(frozen=True)
class Where:
    """An array in the shared memory."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


class DecodingProcesses:
    """Processes that put images into the shared memory.

    Raises:
        Unavailable: a process died, as when the system ran out of memory.
    """

    def __init__(self, count: int, task: Task) -> None:
        self._pool = ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), initializer=_start, initargs=(task,)
        )

    def inputs(self, entries_P: Sequence[Entry], where: Where) -> Future[Decoded]:
        """Begin to put these rows' inputs there."""
        with dying():
            return self._pool.submit(_inputs, entries_P, where)

    def sources(self, entries_P: Sequence[Entry], offset: int, each: int) -> Future[Decoded]:
        """Begin to put these rows' sources there, ``each`` bytes apart; Decoded says Where."""
        with dying():
            return self._pool.submit(_sources, entries_P, offset, each)

    def close(self) -> None:
        """Cancel what has not begun, and wait for the processes to end."""
        self._pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def dying() -> Iterator[None]:
    """Raises Unavailable where the block learns that a process died."""
    try:
        yield
    except BrokenProcessPool as error:
        raise Unavailable(
            "a process that decodes images died",
            value=str(error),
            remedy="look whether the machine ran out of memory; the job is tried again by itself",
        ) from error


# --- in the process --------------------------------------------------------------------------

_task: Task


def _start(task: Task) -> None:
    global _task
    _task = task
    keep_freed_memory()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which will end this
    end_with_parent()


def _inputs(entries_P: Sequence[Entry], where: Where) -> Decoded:
    inputs_P = _task.memory.array(where.dtype, where.shape, where.offset)
    return decode_inputs(_task.files, _task.transform, entries_P, inputs_P, _prepare)


def _sources(entries_P: Sequence[Entry], offset: int, each: int) -> Decoded:
    keep = partial(_keep, offset, each)
    return decode_sources(_task.files, _task.transform, entries_P, keep, _prepare)


def _keep(offset: int, each: int, place: int, array: Array) -> Where:
    where = Where(array.dtype.str, array.shape, offset + place * each)
    _task.memory.array(where.dtype, where.shape, where.offset)[:] = array
    return where


def _prepare(images_NHWC: Pixels, transform: Transform, out: Array | None) -> Array:
    import torch

    from worker.pixels.transforms import prepare_array

    torch.set_num_threads(1)  # there are as many processes as cores
    return prepare_array(images_NHWC, transform, out)
