"""``import``: the labs' bottleneck pickles become a pack whose recipe is unknown.

A pack is two files, ``{network}_{dataset}_100_bottleneck_features_train.p`` and
``{network}_{dataset}_bottleneck_features_validation.p``, each a pickled dict of ``features``
[N, 1, 1, D] (or [N, D]) and ``labels`` [N] (or [N, 1]).

Shapes: N rows, D values in a row.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.dataset import ImageLocation, Manifest
from cache.errors import InvalidRequest
from cache.identity import blake2b_hex, canonical_json, hash_file, hash_file_bytes, sha256_file
from cache.job import Job
from cache.pack import create, seal
from cache.pack_writer import PackWriter
from cache.publish import publish_pack
from cache.recipe import pack_id
from cache.rows import PackRow
from worker.context import Context
from worker.lease import Lease
from worker.sources.pickles import load_arrays

MAX_BYTES = 8 << 30


def import_pack(context: Context, job: Job, lease: Lease) -> None:
    """Write and publish the pack.

    Raises:
        InvalidRequest: the files hold anything but matching features and labels.
        StorageFull: the team may not store so much.
    """
    spec = job.spec
    parts = {
        upload["split"]: _read(Path(upload["path"]), upload["name"]) for upload in spec["uploads"]
    }
    features_ND = _stack([features for features, _ in parts.values()])
    labels_N = np.concatenate([labels for _, labels in parts.values()])
    manifest = _manifest(parts, features_ND, labels_N).within(job.space)
    recipe = {
        "imported": True,
        "network": spec["network"],
        "files": {u["name"]: sha256_file(Path(u["path"])) for u in spec["uploads"]},
    }
    recipe_id = blake2b_hex(canonical_json(recipe))
    new_id = pack_id(recipe_id, manifest.dataset_id)
    dataset = {"name": spec["dataset"], "version": None, "view": None}
    dataset |= {"space": job.space} if job.space else {}
    context.quotas.must_fit(context.store, job, new_id, features_ND.nbytes)
    path = context.store.building(new_id) / f"{job.id}.h5"
    try:
        path.parent.mkdir(exist_ok=True)
        create(
            path,
            manifest,
            recipe=recipe,
            dataset=dataset | {"dataset_id": manifest.dataset_id},
            row_shape=features_ND.shape[1:],
            dtype="float32",
        )
        with PackWriter(path) as writer:
            writer.write(np.arange(len(labels_N)), features_ND, np.ones(len(labels_N), bool))
            hashes = [writer.hash_shard(shard) for shard in range(writer.layout.shards)]
        facts: dict[str, Any] = {"imported": [upload["name"] for upload in spec["uploads"]]}
        seal(path, hashes, facts)
        row = PackRow(
            pack_id=new_id,
            recipe_id=recipe_id,
            dataset_id=manifest.dataset_id,
            network=spec["network"],
            dataset=spec["dataset"],
            imported=True,
            recipe=recipe,
            dataset_info=dataset,
            classes=list(manifest.classes),
            splits={name: list(span) for name, span in manifest.splits.items()},
            rows=len(manifest),
            row_shape=list(features_ND.shape[1:]),
            dtype="float32",
            bytes=path.stat().st_size,
            etag=hash_file(path),
            invalid_rows=[],
            provenance=facts,
        )
        publish_pack(context.leases, context.catalogue, context.store, job, row, path)
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # another import of the same files is in it
            path.parent.rmdir()


def _read(path: Path, name: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    arrays = load_arrays(path, MAX_BYTES)
    if not {"features", "labels"} <= arrays.keys():
        raise InvalidRequest(
            f"{name} has {sorted(arrays)}, not features and labels",
            value=sorted(arrays),
            remedy="give the pickle of a dict with 'features' and 'labels'",
        )
    features, labels = arrays["features"], arrays["labels"]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    fits = (
        features.ndim >= 2
        and features.dtype.kind == "f"
        and labels.ndim == 1
        and labels.dtype.kind in "iu"
        and len(features) == len(labels) > 0
        and labels.min() >= 0
    )
    if not fits:
        raise InvalidRequest(
            f"{name} has features {features.dtype} {list(features.shape)} and labels "
            f"{labels.dtype} {list(labels.shape)}",
            value=list(features.shape),
            remedy="features must be floats [N, 1, 1, D] or [N, D], labels integers from 0, [N]",
        )
    with np.errstate(over="ignore"):
        features_ND = features.reshape(len(features), -1).astype(np.float32)
    if not np.isfinite(features_ND).all():
        raise InvalidRequest(
            f"{name} has features that are infinite or NaN", value=name, remedy="make it again"
        )
    return features_ND, labels.astype(np.int64)


def _stack(parts: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    widths = {part.shape[1] for part in parts}
    if len(widths) > 1:
        raise InvalidRequest(
            f"the two files have rows of {sorted(widths)} values",
            value=sorted(widths),
            remedy="give the train and validation file of one network",
        )
    return np.concatenate(parts)


def _manifest(
    parts: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]],
    features_ND: npt.NDArray[np.float32],
    labels_N: npt.NDArray[np.int64],
) -> Manifest:
    """Rows named by split and position; where the image is unknown, the row's bytes are hashed."""
    splits, row_ids, start = {}, [], 0
    for split, (features, _) in parts.items():
        splits[split] = (start, start + len(features))
        row_ids += [f"{split}/{index}" for index in range(len(features))]
        start += len(features)
    hashes = b"".join(hash_file_bytes(row.tobytes()) for row in features_ND)
    return Manifest(
        classes=tuple(str(label) for label in range(int(labels_N.max()) + 1)),
        splits=splits,
        row_id_N=row_ids,
        label_N=labels_N,
        hash_NH=np.frombuffer(hashes, np.uint8).reshape(-1, 16),
        location=ImageLocation("blob", ""),
        start_N=np.zeros(len(labels_N), np.int64),
        size_N=np.zeros(len(labels_N), np.int64),
    )
