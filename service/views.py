"""Views that were asked for before need not be drawn again to be recognised."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock

from cache.dataset import Manifest, View
from cache.errors import NotFound
from cache.rows import DatasetRow
from cache.store import Store

REMEMBERED = 1024


@dataclass(frozen=True)
class KeptView:
    """A dataset version or a view of one; ``manifest`` is there if it is not in the store yet."""

    dataset_id: str
    rows: int
    manifest: Manifest | None = None


_Key = tuple[str, View, str, int]


class Views:
    """Which ids the views of a dataset have. Safe to call from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: OrderedDict[_Key, KeptView] = OrderedDict()
        self._lock = Lock()

    def resolve(self, row: DatasetRow, view: View, space: str) -> KeptView:
        """The id of a view in a space; a whole dataset in its own needs no look at its images.

        Raises:
            NotFound, InvalidRequest: the view does not fit the dataset.
        """
        if view.is_whole and space == row.space:
            return KeptView(row.dataset_id, row.rows)
        with self._lock:
            known = self._known.get(self._key(row, view, space))
            if known is not None and self._store.manifest(known.dataset_id).exists():
                return known
        manifest = view.apply(self._store.load_manifest(row.dataset_id)).within(space)
        return KeptView(manifest.dataset_id, len(manifest), manifest)

    def keep(self, row: DatasetRow, view: View, space: str, kept: KeptView) -> None:
        """Put a view's manifest into the store, for the worker; a sweep must find it young."""
        if kept.manifest is None:
            if kept.dataset_id != row.dataset_id:
                self._store.touch_manifest(kept.dataset_id)
            return
        self._store.save_manifest(kept.manifest)
        with self._lock:
            self._known[self._key(row, view, space)] = KeptView(kept.dataset_id, kept.rows)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)

    def _key(self, row: DatasetRow, view: View, space: str) -> _Key:
        """With the manifest's time: registered again, its images may lie elsewhere."""
        try:
            changed = self._store.manifest(row.dataset_id).stat().st_mtime_ns
        except FileNotFoundError as error:
            raise NotFound(
                f"the manifest of dataset {row.name!r} is gone",
                value=row.name,
                remedy="register the dataset again",
            ) from error
        return row.dataset_id, view, space, changed
