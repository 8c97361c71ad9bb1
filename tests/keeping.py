"""Real packs in a store, made without a network."""

from __future__ import annotations

import numpy as np

from cache.catalogue import Catalogue
from cache.identity import blake2b_hex, canonical_json, hash_file
from cache.pack import create, seal
from cache.pack_writer import PackWriter
from cache.recipe import pack_id
from cache.rows import PackRow
from cache.store import Store
from tests.manifests import plain_manifest


def keep_real_pack(
    catalogue: Catalogue,
    store: Store,
    seed: int = 0,
    rows: int = 50,
    width: int = 16,
    named: str | None = None,
    row_shape: tuple[int, ...] = (),
) -> tuple[str, np.ndarray]:
    """Publish a pack, whose id follows from what is in it unless it is ``named``.

    The id and its features, [N, D] or [N, *row_shape]; row 3 is zero, as a worker leaves that of
    a broken image.
    """
    manifest = plain_manifest(rows, seed=seed)
    recipe, dataset = {"network": "resnet18"}, {"name": "set", "version": 1, "view": None}
    recipe_id = blake2b_hex(canonical_json(recipe))
    new_id = named or pack_id(recipe_id, manifest.dataset_id)
    shape = row_shape or (width,)
    features_ND = np.random.default_rng(seed).standard_normal((rows, *shape), np.float32)
    features_ND[3] = 0
    path = store.building(new_id) / "pack.h5"
    path.parent.mkdir()
    in_file = dataset | {"dataset_id": manifest.dataset_id}
    create(path, manifest, recipe=recipe, dataset=in_file, row_shape=shape, dtype="float32")
    with PackWriter(path) as writer:
        writer.write(np.arange(rows), features_ND, np.arange(rows) != 3)
        hashes = [writer.hash_shard(shard) for shard in range(writer.layout.shards)]
    seal(path, hashes, {"machine": "test"})
    row = PackRow(
        pack_id=new_id,
        recipe_id=recipe_id,
        dataset_id=manifest.dataset_id,
        network="resnet18",
        dataset="set",
        imported=False,
        recipe=recipe,
        dataset_info=dataset,
        classes=list(manifest.classes),
        splits={name: list(span) for name, span in manifest.splits.items()},
        rows=rows,
        row_shape=list(shape),
        dtype="float32",
        bytes=path.stat().st_size,
        etag=hash_file(path),
        invalid_rows=[manifest.row_id_N[3]],
        provenance={"machine": "test"},
    )
    with catalogue.database.write() as connection:
        store.publish_pack(new_id, path)
        catalogue.add_pack(connection, row)
    store.discard_building(new_id)
    return new_id, features_ND
