"""Room for packs: the least recently used ones go when the store's limit is reached.

Never those that are pinned, that were used in the last seconds, that an active job works on, or
whose file somebody holds open (:mod:`cache.locks`). Heads stay: they are small, and their pack
can be built again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from cache.active import active_work
from cache.catalogue import Catalogue
from cache.errors import TooLarge, Unavailable
from cache.locks import unused
from cache.store import Store
from cache.tables import packs

log = logging.getLogger("featurepack.cache")

IN_USE_SECONDS: Final = 15.0
"""A pack that was used so lately is in use; services note a use every five seconds."""


@dataclass(frozen=True)
class _Occupied:
    """The bytes that packs take, finished or not, and those packs that could go, oldest first."""

    total: int
    pinned: int
    evictable: Sequence[tuple[str, int]]


def make_room(
    catalogue: Catalogue, store: Store, pack_id: str, needed_bytes: int, limit: int | None
) -> list[str]:
    """Evict packs until ``needed_bytes`` more, of the pack that is to be built, fit in ``limit``.

    What there is of that pack already does not count. Nothing is evicted in vain: if all that may
    go would not be enough, it stays. The ids of the evicted packs; none without a limit.

    Raises:
        TooLarge: the pack alone is beyond the limit.
        Unavailable: the rest is pinned or in use just now.
    """
    if limit is None:
        return []
    if needed_bytes > limit:
        raise TooLarge(
            f"pack {pack_id} has {needed_bytes} bytes, all packs together may have {limit}",
            value=needed_bytes,
            remedy="ask for fewer rows, a smaller layer or pooling, or float16; the operator sets "
            "FEATUREPACK_MAX_PACK_BYTES",
        )
    occupied = _occupied(catalogue, store, pack_id)
    excess = occupied.total + needed_bytes - limit
    evicted: list[str] = []
    if excess <= sum(size for _, size in occupied.evictable):
        evicted, excess = _evict(catalogue, store, occupied.evictable, excess)
    if excess > 0:
        log.warning(
            "no room for pack %s: packs have %d bytes, %d of them pinned and %d in use",
            *(pack_id, occupied.total, occupied.pinned, _in_use(occupied)),
        )
        raise Unavailable(  # without those figures, which count what the asking team may not see
            f"no room for pack {pack_id}: {needed_bytes} bytes are needed, packs may have {limit}, "
            "and what there is is pinned or in use",
            value=needed_bytes,
            remedy="unpin or delete packs, or wait until they are no longer used; the operator "
            "sets FEATUREPACK_MAX_PACK_BYTES",
        )
    return evicted


def evict_beyond(catalogue: Catalogue, store: Store, limit: int | None) -> list[str]:
    """Evict what is beyond ``limit``, as far as it may go; the ids of the evicted packs."""
    if limit is None:
        return []
    occupied = _occupied(catalogue, store, "")
    return _evict(catalogue, store, occupied.evictable, occupied.total - limit)[0]


def _in_use(occupied: _Occupied) -> int:
    return occupied.total - occupied.pinned - sum(size for _, size in occupied.evictable)


def _occupied(catalogue: Catalogue, store: Store, but: str) -> _Occupied:
    """What all packs take, except the pack ``but``."""
    unfinished = _bytes_below(store.root / "building", but)
    query = sa.select(
        packs.c.pack_id,
        packs.c.bytes,
        packs.c.pinned,
        (packs.c.last_used > catalogue.database.now - IN_USE_SECONDS).label("in_use"),
    ).where(packs.c.problem.is_(None), packs.c.pack_id != but)
    with catalogue.database.read() as connection:
        needed = active_work(connection).pack_ids
        rows = connection.execute(query.order_by(packs.c.last_used, packs.c.pack_id)).all()
    return _Occupied(
        total=unfinished + sum(row.bytes for row in rows),
        pinned=sum(row.bytes for row in rows if row.pinned),
        evictable=[
            (row.pack_id, row.bytes)
            for row in rows
            if not row.pinned and not row.in_use and row.pack_id not in needed
        ],
    )


def _bytes_below(building: Path, but: str) -> int:
    """The sizes that unfinished packs will have: their structure is made with room for all rows."""
    total = 0
    for path in building.glob("*/*"):
        if path.parent.name != but:
            try:
                total += path.stat().st_size
            except FileNotFoundError:
                continue  # finished or given up meanwhile
    return total


def _evict(
    catalogue: Catalogue, store: Store, candidates: Sequence[tuple[str, int]], excess: int
) -> tuple[list[str], int]:
    """Evict from the front until ``excess`` is gone; who went, and what is left of the excess."""
    evicted = []
    for pack_id, size in candidates:
        if excess <= 0:
            break
        if evict(catalogue, store, pack_id):
            evicted.append(pack_id)
            excess -= size
    if evicted:
        log.info("evicted %d packs: %s", len(evicted), ", ".join(evicted))
    return evicted, excess


def evict(catalogue: Catalogue, store: Store, pack_id: str) -> bool:
    """Remove a pack, unless it is pinned or used by now, in a job or by an open file."""
    idle = sa.and_(
        packs.c.pack_id == pack_id,
        packs.c.pinned.is_(False),
        packs.c.problem.is_(None),
        packs.c.last_used <= catalogue.database.now - IN_USE_SECONDS,
    )
    with unused(store.pack(pack_id)) as free:
        if not free:
            return False
        with catalogue.database.write() as connection:
            if pack_id in active_work(connection).pack_ids:
                return False
            # On PostgreSQL this waits for whoever notes a use just now, and then finds it used.
            if connection.execute(sa.delete(packs).where(idle)).rowcount != 1:
                return False
            hidden = store.hide_pack(pack_id)
    if hidden is not None:
        hidden.unlink(missing_ok=True)
    store.delete_derived(pack_id)
    return True
