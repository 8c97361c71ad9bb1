"""``verify``: does a pack still hold what was written, and what its recipe gives?

Shapes: R sampled rows, D values in a row.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData, InvalidRequest
from cache.identity import hash_file
from cache.job import Job
from cache.pack import Pack, open_pack
from cache.publish import quarantine_in
from cache.recipe import Recipe
from cache.rows import PackRow
from cache.sight import EVERYTHING
from worker.certificate import compare, reference_rows
from worker.context import Context
from worker.lease import Lease
from worker.pixels.image_reader import ImageReader

_REMEDY = "submit the pair again: the pack is built anew"


def verify_pack(context: Context, job: Job, lease: Lease) -> None:
    """Hash every shard and the whole file again; extract ``rows`` random rows again.

    A pack that fails is quarantined in the transaction that fails the job.

    Raises:
        NotFound: no such pack, or its rows cannot be extracted again without its manifest.
        Conflict: the pack is quarantined.
        InvalidRequest: rows of an imported pack, of which nobody knows how they were made.
        CorruptData: an image has changed since, so it cannot tell anything about the pack.
    """
    row = context.catalogue.find_sound_pack(job.spec["pack_id"], EVERYTHING)
    count = job.spec.get("rows") or 0
    if count and row.imported:
        raise InvalidRequest(
            f"the recipe of pack {row.pack_id} is unknown: it was imported",
            value=row.pack_id,
            remedy="verify it without rows",
        )
    try:
        found = _verify(context, row, count, lease)
    except _Damaged as damage:
        error = damage.error
        lease.end(job, lambda: _quarantine(context, job, row, error))
        return
    lease.end(job, lambda: context.leases.finish(job, lambda _: found))


class _Damaged(Exception):
    """The pack's own fault, unlike an image that changed or weights that are gone."""

    def __init__(self, error: CorruptData) -> None:
        super().__init__(error.message)
        self.error = error


@contextmanager
def _blaming_the_pack() -> Iterator[None]:
    """What goes wrong in the block is the pack's fault."""
    try:
        yield
    except CorruptData as error:
        raise _Damaged(CorruptData(error.message, value=error.value, remedy=_REMEDY)) from error


def _verify(context: Context, row: PackRow, count: int, lease: Lease) -> dict[str, Any]:
    with ExitStack() as held:
        with _blaming_the_pack():
            pack = _open(context, row, held)
            _check_hashes(row, pack, lease)
        rows = _sample(pack, count)
        if rows:
            reference_RD = _extract(context, row, rows, lease)
            numerics = Recipe.from_dict(row.recipe).numerics
            with _blaming_the_pack():
                compare(row.pack_id, numerics, rows, pack.features[rows], reference_RD)
    shards = len(pack.shard_hash_SH)
    return {"pack_id": row.pack_id, "shards": shards, "rows_checked": len(rows)}


def _open(context: Context, row: PackRow, held: ExitStack) -> Pack:
    """The pack, its file not evicted while ``held``."""
    try:
        held.enter_context(context.store.reading(row.pack_id))
        return open_pack(context.store.pack(row.pack_id))
    except FileNotFoundError as error:
        context.store.holds_pack(row.pack_id, row.bytes)  # Unavailable where the store is gone
        raise CorruptData(f"the file of pack {row.pack_id} is gone", value=row.pack_id) from error


def _sample(pack: Pack, count: int) -> list[int]:
    """So many rows of decodable images, other ones every time."""
    usable = np.flatnonzero(pack.valid_N).tolist()
    draw = random.SystemRandom()
    return sorted(draw.sample(usable, min(count, len(usable))))


def _extract(
    context: Context, row: PackRow, rows: list[int], lease: Lease
) -> npt.NDArray[np.float32]:
    """The rows as plain eager float32 gives them, one image at a time: [R, D]."""
    manifest = context.store.load_manifest(row.dataset_id)
    recipe = Recipe.from_dict(row.recipe)
    network = context.build_network(recipe, [recipe.tap.layer])
    lease.progress({"phase": "extracting", "rows_total": len(rows)}, now=True)
    with ImageReader(manifest, context.store) as reader:
        for number in rows:
            reader.read(number)  # an image that changed is no fault of the pack's
        with _blaming_the_pack():  # but a row that says of a broken one that it could be decoded is
            return reference_rows(rows, [recipe], reader, network, lease.check)[0]


def _check_hashes(row: PackRow, pack: Pack, lease: Lease) -> None:
    """Raises CorruptData where a shard or the file does not give its hash."""
    lease.progress({"phase": "hashing"}, now=True)
    failed = pack.failed_shards()
    if failed:
        message = f"pack {row.pack_id} has {len(failed)} damaged shards, the first is {failed[0]}"
        raise CorruptData(message, value=failed[:100])
    lease.check()
    if hash_file(pack.path) != row.etag:
        message = f"pack {row.pack_id} has damage outside its features"
        raise CorruptData(message, value=row.pack_id)


def _quarantine(context: Context, job: Job, row: PackRow, error: CorruptData) -> None:
    context.leases.fail(
        job,
        error,
        also=lambda connection: quarantine_in(
            connection, context.catalogue, context.store, row.pack_id, error, row.etag
        ),
    )
