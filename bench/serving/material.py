"""The bytes that all serve: a published pack of seeded noise, and files of what slices of it hold.

The pack is made through ``cache/`` alone, for a dataset and a recipe that the service knows, so
that a client can ask for the pair. Shapes: N rows, D values in a row, M rows of a shard.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.serving.plan import Plan
from cache import networks
from cache.binding import bind_store
from cache.catalogue import Catalogue
from cache.database import Database
from cache.dataset import ImageLocation, Manifest
from cache.identity import hash_file
from cache.pack import Layout, create, seal
from cache.pack_writer import PackWriter
from cache.recipe import Numerics, Recipe, pack_id
from cache.rows import DatasetRow, PackRow
from cache.store import Store

NETWORK, DATASET, WEIGHTS = "resnet50", "made-up", "random:0"
"""The pair that a client asks for."""

PACK, SLICE, SCATTERED, SMALL = "pack.h5", "slice.bin", "scattered.bin", "small.bin"
"""The files for those who serve files; the first is the store's own, by a link."""

SPARE_BYTES = 256 << 20


class NoRoom(RuntimeError):
    """The temporary folder's disk is too small; the message says what helps."""


@dataclass(frozen=True)
class Material:
    """``files`` has the four files; ``span`` are the slice's first row and the row after its last,
    ``scattered_R`` and ``small_R`` row numbers. ``checksum`` is that of all features.
    """

    store: Store
    pack_id: str
    layout: Layout
    files: Path
    span: tuple[int, int]
    scattered_R: list[int]
    small_R: list[int]
    checksum: int

    @property
    def pack(self) -> Path:
        return self.store.pack(self.pack_id)

    @property
    def features_ND(self) -> npt.NDArray[Any]:
        """Mapped from the pack's file."""
        shape = (self.layout.rows, *self.layout.row_shape)
        return np.memmap(self.pack, self.layout.dtype, "r", self.layout.features_offset, shape)

    @property
    def features_bytes(self) -> int:
        return self.layout.rows * self.layout.row_bytes

    def told(self) -> dict[str, Any]:
        """For the results."""
        return {
            "rows": self.layout.rows,
            "row_shape": list(self.layout.row_shape),
            "dtype": self.layout.dtype.name,
            "features_bytes": self.features_bytes,
            "file_bytes": self.pack.stat().st_size,
            "slice_bytes": (self.span[1] - self.span[0]) * self.layout.row_bytes,
            "scattered_bytes": len(self.scattered_R) * self.layout.row_bytes,
            "small_bytes": len(self.small_R) * self.layout.row_bytes,
        }


def checksum(array: npt.NDArray[Any]) -> int:
    """The sum of an array's 8-byte words: touches every byte, as fast as memory goes."""
    words = array.reshape(-1).view(np.uint64)
    return int(np.add.reduce(words, dtype=np.uint64))


def check_room(folder: Path, plan: Plan) -> None:
    """Two packs must fit: the store's, and the one in a client's cache. Raises NoRoom."""
    needed = 2 * plan.rows * plan.width * 4 + SPARE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoom(
            f"{folder} has {free >> 20} MiB free, {needed >> 20} MiB are needed: "
            "set TMPDIR to a larger disk, or take fewer rows (--rows)"
        )


def make(folder: Path, plan: Plan) -> Material:
    """A store with one pack, below ``folder``. Raises NoRoom."""
    check_room(folder, plan)
    store = Store(folder / "store").create()
    manifest, recipe = _manifest(plan.rows), _recipe()
    new_id = pack_id(recipe.recipe_id, manifest.dataset_id)
    told = {"name": DATASET, "version": 1, "view": None}
    path = store.building(new_id) / "pack.h5"
    path.parent.mkdir()
    in_file = told | {"dataset_id": manifest.dataset_id}
    shape, facts = (plan.width,), {"made": "seeded noise"}
    create(
        path, manifest, recipe=recipe.as_dict(), dataset=in_file, row_shape=shape, dtype="float32"
    )
    with PackWriter(path) as writer:
        layout = writer.layout
        hashes = [_write_shard(writer, shard) for shard in range(layout.shards)]
    seal(path, hashes, facts)
    row = _pack_row(new_id, recipe, manifest, told, layout, path, facts)
    with closing(Database(store.database_url)) as database:
        database.migrate()
        bind_store(database, store)
        catalogue = Catalogue(database)
        with database.write() as connection:
            catalogue.add_dataset(connection, _dataset_row(manifest))
            store.publish_pack(new_id, path)
            catalogue.add_pack(connection, row)
    store.save_manifest(manifest)
    store.discard_building(new_id)
    return _with_files(store, new_id, layout, folder / "files", plan)


def _with_files(store: Store, pack_id: str, layout: Layout, files: Path, plan: Plan) -> Material:
    random = np.random.default_rng(1)
    start = (layout.rows - plan.slice_rows) // 2
    scattered = random.integers(0, layout.rows, plan.scattered_rows)
    small = random.integers(0, layout.rows, plan.small_rows)
    span = (start, start + plan.slice_rows)
    whole = Material(
        store, pack_id, layout, files, span, scattered.tolist(), small.tolist(), checksum=0
    )
    features_ND = whole.features_ND
    files.mkdir()
    (files / PACK).symlink_to(whole.pack)
    features_ND[slice(*span)].tofile(files / SLICE)
    features_ND[scattered].tofile(files / SCATTERED)
    features_ND[small].tofile(files / SMALL)
    return Material(**(vars(whole) | {"checksum": checksum(features_ND)}))


def _write_shard(writer: PackWriter, shard: int) -> bytes:
    start, stop = writer.layout.shard_span(shard)
    shape = (stop - start, *writer.layout.row_shape)
    noise_MD = np.random.default_rng([0, shard]).standard_normal(shape, np.float32)
    writer.write(np.arange(start, stop), noise_MD, np.ones(stop - start, bool))
    return writer.hash_shard(shard)


def _recipe() -> Recipe:
    """What the service makes of the pair and nothing else."""
    info = networks.get(NETWORK)
    return Recipe(NETWORK, WEIGHTS, info.default_tap, networks.official_transform(info), Numerics())


def _manifest(rows: int) -> Manifest:
    random = np.random.default_rng(0)
    in_train = rows - rows // 5
    zero_N = np.zeros(rows, np.int64)
    return Manifest(
        classes=tuple(f"class {number}" for number in range(10)),
        splits={"train": (0, in_train), "validation": (in_train, rows)},
        row_id_N=[f"{row:07}.png" for row in range(rows)],
        label_N=random.integers(0, 10, rows),
        hash_NH=random.integers(0, 256, (rows, 16), np.uint8),
        location=ImageLocation("folder", "nowhere"),
        start_N=zero_N,
        size_N=zero_N,
    )


def _dataset_row(manifest: Manifest) -> DatasetRow:
    return DatasetRow(
        name=DATASET,
        version=1,
        dataset_id=manifest.dataset_id,
        source={"kind": "folder", "path": "nowhere"},
        classes=list(manifest.classes),
        splits={name: list(span) for name, span in manifest.splits.items()},
        rows=len(manifest),
        bytes=0,
    )


def _pack_row(
    new_id: str,
    recipe: Recipe,
    manifest: Manifest,
    dataset: dict[str, Any],
    layout: Layout,
    path: Path,
    provenance: dict[str, Any],
) -> PackRow:
    return PackRow(
        pack_id=new_id,
        recipe_id=recipe.recipe_id,
        dataset_id=manifest.dataset_id,
        network=NETWORK,
        dataset=DATASET,
        imported=False,
        recipe=recipe.as_dict(),
        dataset_info=dataset,
        classes=list(manifest.classes),
        splits={name: list(span) for name, span in manifest.splits.items()},
        rows=layout.rows,
        row_shape=list(layout.row_shape),
        dtype=layout.dtype.name,
        bytes=path.stat().st_size,
        etag=hash_file(path),
        invalid_rows=[],
        provenance=provenance,
    )
