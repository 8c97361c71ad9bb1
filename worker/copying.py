"""Rows that another pack of the same recipe has are copied, not computed.

Every shard of the other pack that a row is taken from is hashed first: a row that the disk has
damaged since is computed again, and never handed on.

Shapes: R rows of a source, N rows of a shard.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np

from cache.errors import CorruptData
from cache.identity import hash_shard
from cache.pack import Pack, open_pack
from cache.pack_writer import Rows
from cache.store import Store
from worker.building import Building

log = logging.getLogger("featurepack.worker")


def copy_known(
    building: Building, store: Store, tell: Callable[[int], None]
) -> list[tuple[str, CorruptData]]:
    """Copy what is known and not written yet; ids of packs found damaged on the way, and why.

    ``tell`` hears how many rows were copied since it was last told, and may raise to stop.
    """
    written_N = building.written_N()
    damage = []
    for source in building.known.sources:
        missing = ~written_N[source.here_R]
        try:
            pack = open_pack(store.pack(source.pack_id))
        except FileNotFoundError:
            continue  # evicted since it was looked up: its rows are computed
        except CorruptData as error:
            damage.append((source.pack_id, error))
            continue
        if not pack.has_sound_rows():
            damage.append((source.pack_id, _damaged(source.pack_id, "what tells about the rows")))
            continue
        here_R, there_R = source.here_R[missing], source.there_R[missing]
        for here_N, there_N in _by_shard(pack, here_R, there_R):
            if _is_sound(pack, int(there_N[0]) // pack.shard_rows):
                in_order = np.argsort(here_N)
                there_N = there_N[in_order]
                building.copy(here_N[in_order], pack.features[there_N], pack.valid_N[there_N])
                tell(len(here_N))
            else:
                shard = int(there_N[0]) // pack.shard_rows
                damage.append((source.pack_id, _damaged(source.pack_id, f"shard {shard}")))
    return damage


def _by_shard(pack: Pack, here_R: Rows, there_R: Rows) -> Iterator[tuple[Rows, Rows]]:
    """The pairs of rows, cut where the source's shard changes; ``there_R`` ascends."""
    edges = np.flatnonzero(np.diff(there_R // pack.shard_rows)) + 1
    if len(there_R):
        yield from zip(np.split(here_R, edges), np.split(there_R, edges), strict=True)


def _is_sound(pack: Pack, shard: int) -> bool:
    start = shard * pack.shard_rows
    rows = pack.features[start : start + pack.shard_rows]
    return hash_shard(rows.tobytes()) == bytes(pack.shard_hash_SH[shard])


def _damaged(pack_id: str, what: str) -> CorruptData:
    return CorruptData(
        f"{what} of pack {pack_id} no longer gives its hash",
        value=what,
        remedy="submit the pair again",
    )
