"""What a submission would cost, told before it is made."""

from __future__ import annotations

from math import prod

import numpy as np

from cache import networks
from cache.pack import shard_rows_for
from cache.recipe import Recipe
from cache.reuse import find_known, written_rows
from cache.sight import Sight
from service.job_answers import EstimateAnswer
from service.resolve import Wanted
from service.state import State


def estimate(kept: State, wanted: Wanted, recipe: Recipe, on_error: str) -> EstimateAnswer:
    """Look up what a job would look up, and see what it would see; compute nothing."""
    pack_id, rows = wanted.pack_id(recipe), wanted.images.rows
    sight = Sight(wanted.space)
    cached = kept.catalogue.has_pack(pack_id, sight)
    relatives = kept.catalogue.relatives(recipe.recipe_id, sight)
    shape = tuple(relatives[0].row_shape) if relatives else _row_shape(recipe)
    row_bytes = None if shape is None else prod(shape) * np.dtype(recipe.numerics.stored).itemsize
    to_compute = 0
    if not cached:
        ids = [row.pack_id for row in relatives if row.pack_id != pack_id]
        to_compute = _rows_to_compute(kept, wanted, recipe, ids, row_bytes, on_error)
    rate = kept.rates.find(recipe, kept.settings.worker_silence_seconds, sight)
    return EstimateAnswer(
        pack_id=pack_id,
        cached=cached,
        rows=rows,
        rows_cached=rows - to_compute,
        rows_to_compute=to_compute,
        row_shape=None if shape is None else list(shape),
        bytes=None if row_bytes is None else rows * row_bytes,
        seconds=_seconds(to_compute, rate.images_per_second if rate else None),
        images_per_second=round(rate.images_per_second, 1) if rate else None,
        measured_on=rate.machine if rate else None,
    )


def bytes_to_store(kept: State, wanted: Wanted, recipe: Recipe) -> int:
    """Of the pack's features; 0 where only the worker will know the shape of a row."""
    relatives = kept.catalogue.relatives(recipe.recipe_id, Sight(wanted.space))
    shape = tuple(relatives[0].row_shape) if relatives else _row_shape(recipe)
    if shape is None:
        return 0
    return wanted.images.rows * prod(shape) * np.dtype(recipe.numerics.stored).itemsize


def _row_shape(recipe: Recipe) -> tuple[int, ...] | None:
    """What is known of it before any job ran."""
    tap, info = recipe.tap, networks.get(recipe.network)
    return info.known_shape(tap.layer, tap.pool, recipe.transform.output_HW)


def _rows_to_compute(
    kept: State,
    wanted: Wanted,
    recipe: Recipe,
    relatives: list[str],
    row_bytes: int | None,
    on_error: str,
) -> int:
    manifest = wanted.manifest(kept.store)
    known = find_known(kept.store, manifest, relatives, invalid_too=on_error == "mask")
    written_N = np.zeros(len(manifest), bool)
    if row_bytes is not None:
        shards = [one.shard for one in kept.leases.recorded_shards(wanted.pack_id(recipe))]
        written_N = written_rows(len(manifest), shard_rows_for(row_bytes), shards)
    return int(known.to_compute_N(written_N).sum())


def _seconds(rows: int, rate: float | None) -> float | None:
    if rows == 0:
        return 0.0
    return round(rows / rate, 1) if rate else None
