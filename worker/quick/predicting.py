"""``predict``: uploaded images, or rows of the head's pack → class probabilities.

Shapes: B rows of a block, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cache.job import Job
from cache.pack import Pack
from cache.publish import open_sound_pack
from cache.rows import HeadRow
from cache.sight import EVERYTHING
from worker.context import Context
from worker.heads.file import Head
from worker.heads.kept import load_head, recipe_of
from worker.lease import Lease
from worker.quick.images import rows_of
from worker.quick.ranking import most_probable

BLOCK_ROWS = 1024


def predict(context: Context, job: Job, lease: Lease) -> None:
    """Answer the ``top`` most probable classes of each image or row.

    Raises:
        InvalidRequest: images, and the head's pack was imported.
        NotFound, Conflict: rows, and the pack is gone or quarantined.
        CorruptData: an image cannot be decoded, or the head's file is damaged.
    """
    spec = job.spec
    row = context.catalogue.find_head(spec["head_id"], EVERYTHING)
    head = load_head(context, row.head_id)
    if "rows" in spec:
        predictions = _of_rows(context, row, head, spec["rows"], spec["top"], lease)
    else:
        predictions = list(_of_images(context, row, head, spec["uploads"], spec["top"], lease))
    context.leases.finish(job, lambda _: {"predictions": predictions})


def _of_images(
    context: Context,
    row: HeadRow,
    head: Head,
    uploads: Sequence[dict[str, str]],
    top: int,
    lease: Lease,
) -> Iterator[dict[str, Any]]:
    recipe = recipe_of(context, row)
    network = context.build_network(recipe, [recipe.tap.layer])
    for upload, features in zip(uploads, rows_of(network, uploads, recipe, lease), strict=True):
        probability_K = head.probabilities(features)[0]
        classes = most_probable(probability_K, head.classes, top)
        yield {"name": upload["name"], "classes": classes}


def _of_rows(
    context: Context, row: HeadRow, head: Head, rows: list[int], top: int, lease: Lease
) -> list[dict[str, Any]]:
    """From the pack alone, without the network. Its file is held, so that it is not evicted."""
    found: list[dict[str, Any]] = []
    _, pack = open_sound_pack(
        context.catalogue, context.store, context.catalogue.find_sound_pack(row.pack_id, EVERYTHING)
    )
    with context.store.reading(row.pack_id):
        for first in range(0, len(rows), BLOCK_ROWS):
            lease.check()
            block = rows[first : first + BLOCK_ROWS]
            probability_BK = head.probabilities(pack.features[block])
            for number, probability_K in zip(block, probability_BK, strict=True):
                valid = bool(pack.valid_N[number])  # else there is nothing to tell from
                classes = most_probable(probability_K, head.classes, top) if valid else []
                found.append(_described(pack, number) | {"classes": classes})
    return found


def _described(pack: Pack, number: int) -> dict[str, Any]:
    label = int(pack.labels_N[number])
    return {
        "name": pack.row_id_N[number],
        "row": number,
        "label": pack.classes[label] if label >= 0 else None,
        "valid": bool(pack.valid_N[number]),
    }
