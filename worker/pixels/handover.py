"""How what threads or processes decode becomes a batch's images.

Shapes: N rows of a batch, n of a group, P of a piece, H, W of a source, h, w of the network's
input.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cache.image_files import Entry, ImageFiles
from cache.recipe import Transform
from worker.pixels.decode_processes import DecodingProcesses, Task, Where
from worker.pixels.decoding import MAX_SOURCE_PIXELS, Array, Decoded, decode_inputs, decode_sources
from worker.pixels.slots import Slots
from worker.pixels.transforms import empty_images, prepare_array


@dataclass(frozen=True)
class Group:
    """Images of one batch that have one shape, and their places in it.

    Uint8 ``[n, H, W, 3]`` as they were decoded; or, of sources with more than a megapixel,
    the network's input, float32 ``[n, 3, h, w]``.
    """

    places_n: npt.NDArray[np.int64]
    pixels: Tensor


class ThreadHandover:
    """Threads write into tensors of this process."""

    def __init__(
        self, files: ImageFiles, transform: Transform, as_sources: bool, threads: int
    ) -> None:
        self._files = files
        self._transform = transform
        self._as_sources = as_sources
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")

    def slot(self, count: int) -> Tensor | None:
        return None if self._as_sources else empty_images(count, self._transform)

    def begin(self, slot: Tensor | None, place: int, entries_P: list[Entry]) -> Future[Decoded]:
        to_do = self._files, self._transform, entries_P
        if slot is None:
            return self._pool.submit(decode_sources, *to_do, _keep, prepare_array)
        inputs_P = slot[place : place + len(entries_P)].numpy()
        return self._pool.submit(decode_inputs, *to_do, inputs_P, prepare_array)

    def images(
        self, slot: Tensor | None, count: int, sources: Iterable[tuple[int, Array]]
    ) -> Tensor | list[Group]:
        return _grouped(sources) if slot is None else slot

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class ProcessHandover:
    """Processes write into shared memory; inputs are used there, sources are copied out."""

    def __init__(
        self,
        files: ImageFiles,
        transform: Transform,
        as_sources: bool,
        processes: int,
        ahead: int,
        size: int,
    ) -> None:
        self._as_sources = as_sources
        one = empty_images(1, transform)
        self._input_shape = tuple(one.shape[1:])
        self._dtype = one.numpy().dtype
        self._each = one.nbytes
        if as_sources:
            self._each = max(self._each, 3 * MAX_SOURCE_PIXELS)
        self._slots = Slots(ahead, size * self._each)
        self._processes = DecodingProcesses(processes, Task(files, transform, self._slots.memory))

    def slot(self, count: int) -> int:
        return self._slots.take()

    def begin(self, slot: int, place: int, entries_P: list[Entry]) -> Future[Decoded]:
        offset = slot * self._slots.slot_bytes + place * self._each
        if self._as_sources:
            return self._processes.sources(entries_P, offset, self._each)
        where = Where(self._dtype.str, (len(entries_P), *self._input_shape), offset)
        return self._processes.inputs(entries_P, where)

    def images(
        self, slot: int, count: int, sources: Iterable[tuple[int, Where]]
    ) -> Tensor | list[Group]:
        if not self._as_sources:
            shape = (count, *self._input_shape)
            return torch.from_numpy(self._slots.lend(slot, self._dtype, shape))
        groups = _grouped((place, self._array(where)) for place, where in sources)
        self._slots.give_back(slot)
        return groups

    def _array(self, where: Where) -> Array:
        return self._slots.memory.array(where.dtype, where.shape, where.offset)

    def close(self) -> None:
        self._processes.close()
        self._slots.memory.close()


def _keep(place: int, array: Array) -> Array:
    return array


def _grouped(sources: Iterable[tuple[int, Array]]) -> list[Group]:
    """One group for each shape of these places' arrays, copied together."""
    alike: dict[tuple[int, ...], list[tuple[int, Array]]] = {}
    for place, array in sources:
        alike.setdefault((array.itemsize, *array.shape), []).append((place, array))
    return [
        Group(
            np.array([place for place, _ in members], np.int64),
            torch.from_numpy(np.stack([array for _, array in members])),
        )
        for members in alike.values()
    ]
