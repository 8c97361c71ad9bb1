"""Rows that need not be computed: known from another pack, repeated, or already written.

A row is known by its recipe and the hash of its image. Before anything is computed, the images of
a dataset are looked for in all packs of the same recipe.

Shapes: N rows of the dataset, H hash bytes (16), U distinct images, R rows of a piece.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cache.dataset import Manifest
from cache.row_index import Hashes, Rows, keys_of, open_index
from cache.store import Store

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Source:
    """A pack that has some of the rows: row ``there_R[i]`` of it is row ``here_R[i]``."""

    pack_id: str
    here_R: Rows
    there_R: Rows


@dataclass(frozen=True)
class Known:
    """What a dataset's rows are known from.

    ``first_N`` is for each row the first one with the same image: itself unless it is a repeat.
    """

    first_N: Rows
    sources: tuple[Source, ...]

    @cached_property
    def repeated_N(self) -> Mask:
        return np.not_equal(self.first_N, np.arange(len(self.first_N)))

    def to_compute_N(self, written_N: Mask) -> Mask:
        """The rows that are left when repeats, sources and what is written already are used."""
        left_N = ~self.repeated_N & ~written_N
        for source in self.sources:
            left_N[source.here_R] = False
        return left_N


def first_rows(hash_NH: Hashes) -> Rows:
    """For each row the first one with the same hash [N]."""
    order_N = np.argsort(keys_of(hash_NH), kind="stable")
    sorted_NH = hash_NH[order_N]
    begins_N = np.ones(len(order_N), bool)
    begins_N[1:] = (sorted_NH[1:] != sorted_NH[:-1]).any(axis=1)
    first_N = np.empty(len(order_N), np.int64)
    first_N[order_N] = order_N[begins_N][np.cumsum(begins_N) - 1]
    return first_N


def find_known(
    store: Store, manifest: Manifest, pack_ids: Iterable[str], *, invalid_too: bool
) -> Known:
    """Look for a dataset's images in these packs, which are all of one recipe.

    ``invalid_too``: images that could not be decoded count as known.
    """
    first_N = first_rows(manifest.hash_NH)
    distinct_U = np.flatnonzero(first_N == np.arange(len(first_N)))
    sources = _search(store, manifest.hash_NH, distinct_U, pack_ids, invalid_too)
    return Known(first_N, tuple(sources))


def _search(
    store: Store, hash_NH: Hashes, row_U: Rows, pack_ids: Iterable[str], invalid_too: bool
) -> Iterator[Source]:
    """Each image is taken from the first pack that has it, and not looked for again."""
    key_U = keys_of(hash_NH[row_U])
    order_U = np.argsort(key_U, kind="stable")
    key_U, row_U = key_U[order_U], row_U[order_U]
    for pack_id in pack_ids:
        if not len(row_U):
            return
        index = open_index(store.pack(pack_id))
        if index is None:
            continue
        there_U = index.find(key_U, hash_NH[row_U])
        hit_U = there_U >= 0
        if not invalid_too:
            hit_U[hit_U] = index.valid_N[there_U[hit_U]] != 0
        if hit_U.any():
            in_order = np.argsort(there_U[hit_U], kind="stable")
            yield Source(pack_id, row_U[hit_U][in_order], there_U[hit_U][in_order])
            key_U, row_U = key_U[~hit_U], row_U[~hit_U]


def written_rows(rows: int, shard_rows: int, shards: Iterable[int]) -> Mask:
    """The rows of these shards [N]."""
    written_N = np.zeros(rows, bool)
    for shard in shards:
        written_N[shard * shard_rows : (shard + 1) * shard_rows] = True
    return written_N
