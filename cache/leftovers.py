"""What in the store nothing needs: files without rows, rows without files, unfinished work."""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from cache.active import ActiveWork, active_work
from cache.listing import Files, Listing
from cache.manifest_file import UNREADABLE, blob_of
from cache.store import Store
from cache.tables import datasets, heads, packs, shards, weights

UNSURE_SECONDS = 3600.0
"""While somebody writes in a folder, only unfinished files as old as this are surely nobody's."""


@dataclass(frozen=True)
class Known:
    """What the database knows at one moment. ``quarantined`` packs are among ``packs``."""

    active: ActiveWork
    packs: set[str]
    quarantined: set[str]
    datasets: set[str]
    needed_manifests: set[str]
    heads: set[str]
    weights: set[str]
    shards: set[str]


def look_at_database(connection: sa.Connection) -> Known:
    """The jobs first: one that ends meanwhile has its rows by the time they are looked at."""
    active = active_work(connection)

    def ids(column: sa.Column[str], *where: sa.ColumnElement[bool]) -> set[str]:
        return set(connection.execute(sa.select(column).where(*where).distinct()).scalars())

    registered = ids(datasets.c.dataset_id)
    return Known(
        active=active,
        packs=ids(packs.c.pack_id),
        quarantined=ids(packs.c.pack_id, packs.c.problem.is_not(None)),
        datasets=registered,
        needed_manifests=registered | ids(packs.c.dataset_id) | active.dataset_ids,
        heads=ids(heads.c.head_id),
        weights=ids(weights.c.sha256),
        shards=ids(shards.c.pack_id),
    )


@dataclass(frozen=True)
class Leftovers:
    """Paths that may go, and the ids of rows that may."""

    files: list[Path] = field(default_factory=list)
    packs: set[str] = field(default_factory=set)
    quarantined: set[str] = field(default_factory=set)
    datasets: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)
    weights: set[str] = field(default_factory=set)
    shards: set[str] = field(default_factory=set)

    def __bool__(self) -> bool:
        return any(vars(self).values())


@dataclass(frozen=True)
class Search:
    """Everything that decides what is left over.

    ``damaged`` are files in ``packs/`` that proved to be no sound packs of their name. In the
    folders ``busy`` somebody writes just now.
    """

    store: Store
    listing: Listing
    known: Known
    keep_seconds: float
    damaged: frozenset[str]
    busy: frozenset[str]

    def leftovers(self) -> Leftovers:
        known, active, files = self.known, self.known.active, self.listing
        building = self._building()
        quarantine = self._old(files.quarantine)
        quarantined = known.quarantined - active.pack_ids
        manifests = self._manifests()
        return Leftovers(
            files=[
                *building.values(),
                *quarantine.values(),
                *self._damaged_packs().values(),
                *manifests.values(),
                *self._blobs(files.manifests.keys() - manifests.keys()),
                *self._old(_without(files.heads, known.heads | active.head_ids)).values(),
                *self._old(files.exports).values(),
                *self._derived(),
                *self._weights(),
                *self._uploads(),
                *self._hidden(),
            ],
            packs=_gone(
                known.packs - known.quarantined - active.pack_ids, files.packs, self.store.pack
            ),
            quarantined=(quarantined & quarantine.keys())
            | _gone(quarantined, files.quarantine, self.store.quarantined),
            datasets=_gone(known.datasets, files.manifests, self.store.manifest),
            heads=_gone(known.heads - active.head_ids, files.heads, self.store.head),
            weights={sha256 for sha256 in self._without_file() if not self._has_file(sha256)},
            shards={
                pack_id
                for pack_id in known.shards - active.pack_ids
                if pack_id in building or not self.store.building(pack_id).exists()
            },
        )

    def _old(self, files: Files, least_seconds: float = 0.0) -> Files:
        least = max(self.keep_seconds, least_seconds)
        return {name: path for name, path in files.items() if self.listing.age_of(path) >= least}

    def _unsure(self, folder: str) -> float:
        """How old an unfinished file of this folder must at least be."""
        return UNSURE_SECONDS if folder in self.busy else 0.0

    def _building(self) -> Files:
        """Unfinished packs of no active job. An import's job knows its pack's id late."""
        if "import" in self.known.active.kinds:
            return {}
        return self._old(
            {
                name: path
                for name, path in self.listing.building.items()
                if name.removesuffix(".h5") not in self.known.active.pack_ids
            }
        )

    def _damaged_packs(self) -> Files:
        if "import" in self.known.active.kinds:
            return {}
        needed = self.known.packs | self.known.active.pack_ids
        return self._old({p: self.store.pack(p) for p in self.damaged - needed})

    def _manifests(self) -> Files:
        if "ingest" in self.known.active.kinds:
            return {}
        return self._old(_without(self.listing.manifests, self.known.needed_manifests))

    def _blobs(self, kept_manifests: Set[str]) -> list[Path]:
        """Image blobs in which no dataset and no manifest that is kept has its images."""
        unnamed = _without(self.listing.blobs, self.known.datasets)
        if "ingest" in self.known.active.kinds or not (old := self._old(unnamed)):
            return []
        used = {blob_of(self.listing.manifests[dataset_id]) for dataset_id in kept_manifests}
        return [] if UNREADABLE in used else [p for p in old.values() if p.name not in used]

    def _derived(self) -> list[Path]:
        """What was computed of packs that are gone; a job may have ended after its pack did."""
        needed = self.known.packs | self.known.active.pack_ids
        unnamed = {
            name: path
            for name, path in self.listing.derived.items()
            if name.rpartition("-")[0] not in needed
        }
        return list(self._old(unnamed).values())

    def _weights(self) -> list[Path]:
        if "weights" in self.known.active.kinds:
            return []
        unnamed = {
            name: path
            for name, path in self.listing.weights.items()
            if path.stem not in self.known.weights
        }
        return list(self._old(unnamed).values())

    def _without_file(self) -> set[str]:
        return self.known.weights - {path.stem for path in self.listing.weights.values()}

    def _has_file(self, sha256: str) -> bool:
        return any((self.store.root / "weights").glob(f"{sha256}.*"))

    def _uploads(self) -> list[Path]:
        uploads = self.known.active.uploads
        unnamed = {n: path for n, path in self.listing.incoming.items() if path.stem not in uploads}
        return list(self._old(unnamed, self._unsure("incoming")).values())

    def _hidden(self) -> list[Path]:
        """Files that somebody was writing or deleting, and is no more."""
        found = []
        for path in self.listing.hidden:
            least, folder = self.keep_seconds, path.parent.name
            if path.suffix == ".part":
                if folder in ("datasets", "downloads") and "ingest" in self.known.active.kinds:
                    continue
                least = max(least, self._unsure(folder))
            if self.listing.age_of(path) >= least:
                found.append(path)
        return found


def _without(files: Files, names: Set[str]) -> Files:
    return {name: path for name, path in files.items() if name not in names}


def _gone(names: set[str], files: Files, path_of: Callable[[str], Path]) -> set[str]:
    """Those that have no file: neither when the folder was listed nor now."""
    return {name for name in names - files.keys() if not path_of(name).exists()}
