"""``statistics``: what is in a pack, and what its values are like.

Shapes: N valid rows, B rows of a block, D values in a row, K classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.atomic import replacing
from cache.job import Job
from cache.pack import Pack
from worker.context import Context
from worker.heads.file import flat
from worker.heads.rows import Rows
from worker.lease import Lease
from worker.quick.derived import opened

BINS = 40
"""Of the histogram of norms."""


def describe_pack(context: Context, job: Job, lease: Lease) -> None:
    """Compute the statistics and keep them with the pack.

    Raises:
        NotFound, Conflict: the pack is gone or quarantined.
    """
    spec = job.spec
    with opened(context, job) as pack:
        found = statistics_of(pack, lease.check)
    named = {"object": "statistics", "pack_id": spec["pack_id"], "etag": spec["etag"]}
    with replacing(context.store.derived(spec["pack_id"], spec["etag"], spec["what"])) as beside:
        beside.write_text(json.dumps(named | found, ensure_ascii=False, allow_nan=False), "utf-8")
    context.leases.finish(job, lambda _: {"pack_id": spec["pack_id"]})


def statistics_of(pack: Pack, check: Callable[[], None]) -> dict[str, Any]:
    """Plain values; the features are read once, in blocks, and only those of valid rows."""
    rows = Rows(pack, np.flatnonzero(pack.valid_N))
    values, norms = _values(rows, check) if len(rows) else (None, None)
    return {
        "rows": len(pack),
        "rows_valid": len(rows),
        "classes": list(pack.classes),
        "splits": {name: _split(pack, *span) for name, span in pack.splits.items()},
        "values": values,
        "norms": norms,
    }


def _split(pack: Pack, start: int, stop: int) -> dict[str, Any]:
    labels = pack.labels_N[start:stop]
    count_K = np.bincount(labels[labels >= 0], minlength=len(pack.classes))
    return {
        "rows": stop - start,
        "unlabelled": int((labels < 0).sum()),
        "invalid": int((~pack.valid_N[start:stop]).sum()),
        "classes": count_K.tolist(),
    }


def _values(
    rows: Rows, check: Callable[[], None]
) -> tuple[dict[str, float] | None, dict[str, Any] | None]:
    """Of finite values; float16 may have overflowed, and then the rest is still worth a look."""
    zeros, finite, total = 0, 0, 0.0
    minimum, maximum = np.inf, -np.inf
    norm_N = np.empty(len(rows), np.float64)
    for chosen in rows.spans():
        check()
        block_BD = flat(rows.pack.features[rows.row_N[chosen]])
        norm_N[chosen] = np.sqrt(np.einsum("bd,bd->b", block_BD, block_BD, dtype=np.float64))
        sound = np.isfinite(block_BD)
        if not sound.all():
            block_BD = block_BD[sound]
        finite += block_BD.size
        zeros += block_BD.size - int(np.count_nonzero(block_BD))
        if block_BD.size:
            total += float(block_BD.sum(dtype=np.float64))
            minimum = min(minimum, float(block_BD.min()))
            maximum = max(maximum, float(block_BD.max()))
    if not finite:
        return None, None
    count = len(rows) * rows.width
    values = {
        "zeros": zeros / count,
        "not_finite": 1 - finite / count,
        "minimum": minimum,
        "maximum": maximum,
        "mean": total / finite,
    }
    return values, _norms(norm_N[np.isfinite(norm_N)])


def _norms(norm_N: npt.NDArray[np.float64]) -> dict[str, Any] | None:
    if not len(norm_N):
        return None
    counts, edges = np.histogram(norm_N, bins=BINS)
    return {
        "mean": float(norm_N.mean()),
        "minimum": float(norm_N.min()),
        "maximum": float(norm_N.max()),
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }
