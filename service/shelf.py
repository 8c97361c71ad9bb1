"""Packs that are open for reading, so that a request need not open its file again."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock, Timer

from cache.catalogue import Catalogue
from cache.pack import Pack, file_id
from cache.publish import open_sound_pack
from cache.rows import PackRow
from cache.sight import Sight
from cache.store import Store

OPEN_PACKS = 64
TOUCH_SECONDS = 5.0
"""``last_used`` is written at most this often per pack: a note for eviction, not a log."""

IDLE_SECONDS = 30.0
"""A pack that was not asked for so long is closed: open, it would fill the disk once evicted."""


@dataclass
class _Open:
    row: PackRow
    pack: Pack
    taken: float

    def is_in_place(self) -> bool:
        """Whether its file has its name still: a pack that is deleted, evicted, quarantined or
        built anew loses it first. Much cheaper than to ask the database."""
        try:
            return file_id(self.pack.path) == self.pack.file_id
        except FileNotFoundError:
            return False


class PackShelf:
    """The most recently used packs, open. Safe to call from several threads."""

    def __init__(self, catalogue: Catalogue, store: Store) -> None:
        self._catalogue = catalogue
        self._store = store
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._touched: dict[str, float] = {}
        self._lock = Lock()
        self._closing: Timer | None = None

    def at_hand(self, pack_id: str, sight: Sight) -> tuple[PackRow, Pack] | None:
        """What :meth:`take` gives, if neither a file nor the database is to be asked for it.

        What may not be seen is not at hand, so it takes the way of a pack that is not there.
        """
        known = self._known(pack_id, sight)
        if known is None or self._is_touch_due(pack_id) or not known.is_in_place():
            return None
        self._put(pack_id, known)
        return known.row, known.pack

    def take(self, pack_id: str, sight: Sight) -> tuple[PackRow, Pack]:
        """The catalogue's row and the open file.

        Raises:
            NotFound: no such pack, or none that may be seen.
            Conflict: it is quarantined, perhaps because its file proved to be damaged or gone.
        """
        known = self._known(pack_id, sight)
        if known is None or not known.is_in_place():
            known = self._open_now(pack_id, sight)
        self._touch(pack_id)
        self._put(pack_id, known)
        return known.row, known.pack

    def _known(self, pack_id: str, sight: Sight) -> _Open | None:
        with self._lock:
            known = self._open.get(pack_id)
        return known if known is not None and sight.sees(known.row.space) else None

    def _put(self, pack_id: str, known: _Open) -> None:
        with self._lock:
            known.taken = time.monotonic()
            self._open[pack_id] = known
            self._open.move_to_end(pack_id)
            while len(self._open) > OPEN_PACKS:
                self._open.popitem(last=False)
            self._close_later()

    def _open_now(self, pack_id: str, sight: Sight) -> _Open:
        row = self._catalogue.find_sound_pack(pack_id, sight)
        self._touch(pack_id)  # before it is opened, so that it is not evicted meanwhile
        return _Open(*open_sound_pack(self._catalogue, self._store, row), 0.0)

    def forget(self, pack_id: str) -> None:
        with self._lock:
            self._open.pop(pack_id, None)

    def close_idle(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Close packs that nobody asked for lately; whoever still reads one may finish."""
        with self._lock:
            self._closing = None
            until = time.monotonic() - idle_seconds
            while self._open and next(iter(self._open.values())).taken <= until:
                self._open.popitem(last=False)
            self._close_later()

    def _close_later(self) -> None:
        if self._open and self._closing is None:
            self._closing = Timer(IDLE_SECONDS, self.close_idle)
            self._closing.daemon = True
            self._closing.start()

    def _is_touch_due(self, pack_id: str) -> bool:
        return time.monotonic() - self._touched.get(pack_id, -TOUCH_SECONDS) >= TOUCH_SECONDS

    def _touch(self, pack_id: str) -> None:
        if self._is_touch_due(pack_id):
            self._touched[pack_id] = time.monotonic()
            self._catalogue.touch_pack(pack_id)
