"""Which files of the store the rows of one moment need.

Not among them is what is made again (``exports/``, ``derived/``), what nobody is served from
(``building/``, ``quarantine/``), torchvision's downloads, and what does not lie in the store: image
folders below the data root, and the folder of weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from cache.leftovers import look_at_database
from cache.listing import list_store
from cache.manifest_file import UNREADABLE, blob_of
from cache.store import Store
from cache.tables import packs


@dataclass(frozen=True)
class Needed:
    """Paths below the store. ``packs`` maps pack ids to their files' ETags."""

    packs: dict[str, str]
    paths: list[str]

    @property
    def hashes(self) -> dict[str, str]:
        """Path → the XXH3-128 that a file must have, where the database knows it."""
        return {f"packs/{pack_id}.h5": etag for pack_id, etag in self.packs.items()}


def needed_files(connection: sa.Connection, store: Store) -> Needed:
    """Without the blobs of images, which manifests name.

    A file that lacks is named all the same, unless there need be none: an imported pack has no
    manifest, and an upload goes before its job ends.
    """
    known, files = look_at_database(connection), list_store(store)
    query = sa.select(packs.c.pack_id, packs.c.etag).where(packs.c.problem.is_(None))
    etags = {row.pack_id: row.etag for row in connection.execute(query)}
    manifests = known.datasets | (known.needed_manifests & files.manifests.keys())
    uploads = [name for name, path in files.incoming.items() if path.stem in known.active.uploads]
    weights = {path.stem: name for name, path in files.weights.items()}
    return Needed(
        etags,
        [
            *(f"packs/{pack_id}.h5" for pack_id in sorted(etags)),
            *(f"datasets/{dataset_id}.h5" for dataset_id in sorted(manifests)),
            *(f"heads/{head_id}.npz" for head_id in sorted(known.heads)),
            *(f"weights/{weights.get(sha256, sha256)}" for sha256 in sorted(known.weights)),
            *(f"incoming/{name}" for name in sorted(uploads)),
        ],
    )


def blobs_of(manifests: Iterator[Path]) -> list[str]:
    """The blobs in which these manifests have their images."""
    names = {blob_of(path) for path in manifests} - {None, "", UNREADABLE}
    return [f"datasets/{name}" for name in sorted(map(str, names))]
