"""What lies in the store's folders, and how old it is."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from cache.errors import Unavailable
from cache.store import FOLDERS, Store

Files = dict[str, Path]
"""Name → path: of a pack, dataset, head, upload or folder; never of a hidden file."""


@dataclass(frozen=True)
class Listing:
    """The store's files at one moment, each folder by what its names mean.

    ``hidden`` are files that were being written or deleted, wherever they lie.
    """

    packs: Files
    building: Files
    quarantine: Files
    manifests: Files
    blobs: Files
    weights: Files
    heads: Files
    exports: Files
    derived: Files
    incoming: Files
    hidden: list[Path]
    database_since: float

    def age_of(self, path: Path) -> float:
        """Seconds since a file, or anything in a folder, was written to; 0 if it is not there.

        Nothing is older than the database that should know of it.
        """
        try:
            newest = path.stat().st_mtime
            if path.is_dir():
                newest = max([newest, *(inner.stat().st_mtime for inner in path.rglob("*"))])
        except FileNotFoundError:
            return 0.0
        return max(0.0, time.time() - max(newest, self.database_since))


def list_store(store: Store) -> Listing:
    """Look into every folder. Raises Unavailable where the store is gone."""
    hidden = [path for path in store.root.iterdir() if is_hidden(path)]
    found: dict[str, list[Path]] = {}
    for name in FOLDERS:
        try:
            paths = [Path(entry.path) for entry in os.scandir(store.root / name)]
        except FileNotFoundError as error:
            raise Unavailable(
                "the store is gone", value=str(store.root / name), remedy="mount it again"
            ) from error
        hidden += [path for path in paths if is_hidden(path)]
        found[name] = [path for path in paths if not path.name.startswith(".")]
    return Listing(
        packs=_by_stem(found["packs"], ".h5"),
        building={path.name: path for path in found["building"]},
        quarantine=_by_stem(found["quarantine"], ".h5"),
        manifests=_by_stem(found["datasets"], ".h5"),
        blobs=_by_stem(found["datasets"], ".images"),
        weights={path.name: path for path in found["weights"]},
        heads=_by_stem(found["heads"], ".npz"),
        exports={path.name: path for path in found["exports"]},
        derived={path.name: path for path in found["derived"]},
        incoming={path.name: path for path in found["incoming"]},
        hidden=hidden,
        database_since=store.database_since,
    )


def _by_stem(paths: list[Path], suffix: str) -> Files:
    return {path.stem: path for path in paths if path.suffix == suffix}


def is_hidden(path: Path) -> bool:
    return path.name.startswith(".") and path.suffix in (".part", ".gone")


def hidden_name(path: Path) -> Path:
    """The name of something that is being deleted."""
    return path.with_name(f".{path.name.removeprefix('.')}.{secrets.token_hex(4)}.gone")
