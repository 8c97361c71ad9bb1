"""Memory that decoding processes write batches to and this process reads them from.

It is a file without a name (memfd): the kernel frees it when the last process that has it open is
gone, however it ends, and what was never written to takes no memory.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections import deque
from collections.abc import Callable
from math import prod
from multiprocessing.reduction import DupFd
from typing import Any

import numpy as np
import numpy.typing as npt

LENT = 8
"""So many batches at a time are handed out where they lie; more are copied out."""


class SharedMemory:
    """``size`` bytes, mapped; pickled for a process that is being started it is the same bytes."""

    def __init__(self, handle: int, size: int) -> None:
        self._handle = handle
        self._size = size
        self._memory = mmap.mmap(handle, size)

    def __reduce__(self) -> tuple[Callable[..., SharedMemory], tuple[Any, int]]:
        return _arrived, (DupFd(self._handle), self._size)

    def array(self, dtype: Any, shape: tuple[int, ...], offset: int) -> npt.NDArray[Any]:
        """An array that lies there, zero until it is written to."""
        flat = np.frombuffer(self._memory, dtype, prod(shape), offset)
        return flat.reshape(shape)

    def close(self) -> None:
        """No process can be given it any more; arrays in it stay good."""
        os.close(self._handle)


def _arrived(handle: Any, size: int) -> SharedMemory:
    return SharedMemory(handle.detach(), size)


class Slots:
    """Places for batches of ``slot_bytes``: ``waiting`` of them, and those that are lent."""

    def __init__(self, waiting: int, slot_bytes: int) -> None:
        self.slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        count = waiting + LENT
        handle = os.memfd_create("featurepack-batches")
        os.ftruncate(handle, count * self.slot_bytes)
        self.memory = SharedMemory(handle, count * self.slot_bytes)
        self._free = deque(range(count))
        self._lent: set[int] = set()

    def take(self) -> int:
        """A free slot; the one that was free last, so that as few as possible take memory.

        There is one as long as no more than ``waiting`` are taken and neither lent nor free.
        """
        return self._free.popleft()

    def give_back(self, slot: int) -> None:
        self._free.appendleft(slot)

    def lend(self, slot: int, dtype: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A taken slot as an array, which gives the slot back when nobody has it any more."""
        array = self.memory.array(dtype, shape, slot * self.slot_bytes)
        if len(self._lent) >= LENT:  # whoever hoards batches must not stop those to come
            copy = array.copy()
            self.give_back(slot)
            return copy
        self._lent.add(slot)
        weakref.finalize(array, self._returned, slot).atexit = False
        return array

    def _returned(self, slot: int) -> None:
        """Called from any thread."""
        self._lent.discard(slot)
        self.give_back(slot)
