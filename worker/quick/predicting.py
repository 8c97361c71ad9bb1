"""``predict``: images → network → head → class probabilities.

Shapes: N images, D values in a row, K classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cache.errors import CorruptData, InvalidRequest
from cache.jobs import Job
from cache.recipe import Recipe
from worker.context import Context
from worker.heads.file import Head, load
from worker.lease import Lease
from worker.networks import pool, run
from worker.pixels.images import decode
from worker.pixels.transforms import apply


def predict(context: Context, job: Job, lease: Lease) -> None:
    """Answer the ``top`` most probable classes of each uploaded image.

    Raises:
        InvalidRequest: the head's pack was imported, so nobody knows how its rows were made.
        CorruptData: an image cannot be decoded.
    """
    head = context.catalogue.find_head(job.spec["head_id"])
    row = context.catalogue.find_pack(head.pack_id)
    if row.imported:
        raise InvalidRequest(
            f"the recipe of pack {row.pack_id} is unknown: it was imported",
            value=head.head_id,
            remedy="train a head on a pack that was extracted here",
        )
    recipe = Recipe.from_dict(row.recipe)
    network = context.build_network(recipe, [recipe.tap.layer])
    trained = _load(context, head.head_id)
    answers = []
    for upload in job.spec["uploads"]:
        lease.check()
        probability_K = trained.probabilities(_features(upload, recipe, network))[0]
        best = (-probability_K).argsort(kind="stable")[: job.spec["top"]]
        answers.append(
            {
                "name": upload["name"],
                "classes": [
                    {"class": row.classes[k], "probability": round(float(probability_K[k]), 6)}
                    for k in best
                ],
            }
        )
    context.leases.finish(job, lambda _: {"predictions": answers})


def _load(context: Context, head_id: str) -> Head:
    """The trained head. One whose file is damaged is forgotten: train it again."""
    try:
        return load(context.store.head(head_id))
    except (FileNotFoundError, CorruptData) as error:
        context.store.check()
        context.catalogue.forget_head(head_id)
        raise CorruptData(
            f"the file of head {head_id} is damaged or gone",
            value=head_id,
            remedy="train the head again; nothing else is lost",
        ) from error


def _features(upload: dict[str, str], recipe: Recipe, network: torch.nn.Module) -> Any:
    """One row, [1, …]."""
    try:
        pixels_HWC = decode(Path(upload["path"]).read_bytes())
    except CorruptData as error:
        raise CorruptData(
            f"{upload['name']}: {error.message}", value=upload["name"], remedy=error.remedy
        ) from error
    outputs = run(network, apply(pixels_HWC, recipe.transform)[None])
    return pool(outputs[recipe.tap.layer], recipe.tap.pool).numpy()
