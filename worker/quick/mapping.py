"""``map``: a pack's rows as points in the plane, to be looked at.

PCA shows every pack in seconds; t-SNE (van der Maaten and Hinton 2008, as scikit-learn has it)
shows neighbourhoods, and only of few rows: its time grows faster than their number.

Shapes: N points, D values in a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from sklearn.manifold import TSNE

from cache.atomic import replacing
from cache.job import Job
from cache.pack import Pack
from worker.context import Context
from worker.heads.file import Floats
from worker.heads.rows import Rows
from worker.lease import Lease
from worker.principal import principal
from worker.quick.derived import opened

MOST: Final = {"pca": 100_000, "tsne": 5_000}
"""Points of each method."""
NEIGHBOURS = 30
"""t-SNE's perplexity, where there are enough rows."""
FEWEST = 8
"""Rows that t-SNE needs; fewer are shown by PCA."""
DIMENSIONS = 50
"""That t-SNE starts from, as its authors advise."""

POINT: Final = np.dtype([("x", "<f4"), ("y", "<f4"), ("row", "<u4"), ("label", "<i4")])
"""16 bytes, so that a browser reads it as arrays of numbers without parsing."""


def map_pack(context: Context, job: Job, lease: Lease) -> None:
    """Compute the points and keep them with the pack, as ``.npy``.

    Raises:
        NotFound, Conflict: the pack is gone or quarantined.
        InvalidRequest: a value is NaN or infinite.
    """
    spec = job.spec
    with opened(context, job) as pack:
        points_N = points_of(pack, spec["method"], lease.check)
    final = context.store.derived(spec["pack_id"], spec["etag"], spec["what"])
    with replacing(final) as beside, beside.open("wb") as file:
        np.save(file, points_N)
    result = {"pack_id": spec["pack_id"], "method": spec["method"], "points": len(points_N)}
    context.leases.finish(job, lambda _: result)


def points_of(pack: Pack, method: str, check: Callable[[], None]) -> npt.NDArray[np.void]:
    """Valid rows, in their order: ``POINT`` [N]."""
    rows = Rows(pack, chosen_rows(pack, MOST[method]))
    if method == "tsne" and len(rows) >= FEWEST:
        place_N2 = _neighbourhoods(principal(rows, DIMENSIONS, check))
    else:
        place_N2 = principal(rows, 2, check)
    points_N = np.empty(len(rows), POINT)
    points_N["x"], points_N["y"] = place_N2.T
    points_N["row"], points_N["label"] = rows.row_N, rows.label_N
    return points_N


def chosen_rows(pack: Pack, most: int) -> npt.NDArray[np.int64]:
    """At most so many valid rows, splits and classes in their proportions, the same every time.

    Row j of a group of n stands at (j + 1/2) / n, in an order that is drawn; the rows that stand
    first are taken.
    """
    row_N = np.flatnonzero(pack.valid_N)
    if len(row_N) <= most:
        return row_N
    stops = sorted(stop for _, stop in pack.splits.values())
    split_N = np.searchsorted(stops, row_N, side="right")
    both_N2 = np.stack([split_N, pack.labels_N[row_N]], axis=1)
    _, group_N, count_G = np.unique(both_N2, axis=0, return_inverse=True, return_counts=True)
    group_N = group_N.reshape(-1)
    drawn_N = np.random.default_rng(0).permutation(len(row_N))
    order_N = np.lexsort((drawn_N, group_N))
    first_G = np.cumsum(count_G) - count_G
    standing_N = np.empty(len(row_N))
    place_N = np.arange(len(row_N)) - first_G[group_N[order_N]]
    standing_N[order_N] = (place_N + 0.5) / count_G[group_N[order_N]]
    taken = np.lexsort((drawn_N, standing_N))[:most]
    return np.sort(row_N[taken])


def _neighbourhoods(coordinates_ND: Floats) -> Floats:
    perplexity = min(NEIGHBOURS, (len(coordinates_ND) - 1) / 3)
    tsne = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    return np.asarray(tsne.fit_transform(coordinates_ND), np.float32)
