"""Packs that are open for reading, so that a request need not open its file again."""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock

from cache.catalogue import Catalogue
from cache.errors import NotFound
from cache.pack import Pack, open_pack
from cache.rows import PackRow
from cache.store import Store

OPEN_PACKS = 64
TOUCH_SECONDS = 60.0
"""``last_used`` is written at most this often per pack: a note for eviction, not a log."""


class PackShelf:
    """The most recently used packs, open. Safe to call from several threads."""

    def __init__(self, catalogue: Catalogue, store: Store) -> None:
        self._catalogue = catalogue
        self._store = store
        self._open: OrderedDict[str, tuple[str, Pack]] = OrderedDict()
        self._touched: dict[str, float] = {}
        self._lock = Lock()

    def take(self, pack_id: str) -> tuple[PackRow, Pack]:
        """The catalogue's row and the open file.

        Raises:
            NotFound: no such pack.
            CorruptData: the file is not a readable pack.
        """
        row = self._catalogue.find_pack(pack_id)
        with self._lock:
            etag, pack = self._open.get(pack_id, ("", None))
            if pack is not None and etag == row.etag:
                self._open.move_to_end(pack_id)
            else:
                pack = self._read(pack_id)
                self._open[pack_id] = (row.etag, pack)
                while len(self._open) > OPEN_PACKS:
                    self._open.popitem(last=False)
        self._touch(pack_id)
        return row, pack

    def forget(self, pack_id: str) -> None:
        with self._lock:
            self._open.pop(pack_id, None)

    def _read(self, pack_id: str) -> Pack:
        try:
            return open_pack(self._store.pack(pack_id))
        except FileNotFoundError as error:
            raise NotFound(
                f"the file of pack {pack_id!r} is gone",
                value=pack_id,
                remedy=f"DELETE /v1/packs/{pack_id}, then submit the pair again",
            ) from error

    def _touch(self, pack_id: str) -> None:
        now = time.monotonic()
        if now - self._touched.get(pack_id, -TOUCH_SECONDS) >= TOUCH_SECONDS:
            self._touched[pack_id] = now
            self._catalogue.touch_pack(pack_id)
