"""The principal components of rows that need not fit into memory.

A randomised range finder with power iterations (Halko, Martinsson and Tropp, *Finding structure
with randomness*, SIAM Review 2011, algorithm 4.4): the rows are read in blocks, once for their mean
and once for each iteration, and only [D, K] values of them are kept.

Shapes: N rows, B rows of a block, D values in a row, K directions looked at, C components.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from worker.heads.file import Floats
from worker.heads.rows import Rows

SPARE = 8
"""Directions beyond those that are wanted; the paper has 5 to 10."""
ITERATIONS = 4
"""Of features whose spectrum falls slowly, two leave the second axis visibly turned."""


def principal(rows: Rows, components: int, check: Callable[[], None]) -> Floats:
    """The first coordinates of each row, float32 [N, C]; the same for equal rows every time.

    Where the rows have fewer dimensions than ``components``, the rest is zero. ``check`` is called
    between blocks.

    Raises:
        InvalidRequest: a value is NaN or infinite.
    """
    points_NC = np.zeros((len(rows), components), np.float32)
    wide = min(components + SPARE, len(rows), rows.width)
    if not wide:
        return points_NC
    mean_D = _mean(rows, check)
    draw = np.random.default_rng(0)
    range_DK = draw.standard_normal((rows.width, wide)).astype(np.float32)
    for _ in range(ITERATIONS):
        basis_DK, sum_DK = np.linalg.qr(range_DK)[0], np.zeros((rows.width, wide), np.float64)
        for _, block_BD in _centred(rows, mean_D, check):
            sum_DK += block_BD.T @ (block_BD @ basis_DK)
        range_DK = (sum_DK / len(rows)).astype(np.float32)
    basis_DK = np.linalg.qr(range_DK)[0]
    projected_NK = np.empty((len(rows), wide), np.float32)
    for chosen, block_BD in _centred(rows, mean_D, check):
        projected_NK[chosen] = block_BD @ basis_DK
    turn_KC = _turn(projected_NK, basis_DK, min(components, wide))
    points_NC[:, : turn_KC.shape[1]] = projected_NK @ turn_KC
    return points_NC


def _mean(rows: Rows, check: Callable[[], None]) -> Floats:
    sum_D = np.zeros(rows.width)
    for _, block_BD in rows.blocks():
        check()
        sum_D += block_BD.sum(axis=0, dtype=np.float64)
    return (sum_D / len(rows)).astype(np.float32)


def _centred(
    rows: Rows, mean_D: Floats, check: Callable[[], None]
) -> Iterator[tuple[slice, Floats]]:
    for chosen, block_BD in rows.blocks():
        check()
        yield chosen, block_BD - mean_D


def _turn(projected_NK: Floats, basis_DK: Floats, components: int) -> npt.NDArray[np.float32]:
    """From the basis to the components, each with its largest weight positive: [K, C]."""
    exact_NK = projected_NK.astype(np.float64)
    _, vectors_KK = np.linalg.eigh(exact_NK.T @ exact_NK)
    turn_KC = vectors_KK[:, ::-1][:, :components]
    weight_DC = basis_DK @ turn_KC
    largest_C = weight_DC[np.abs(weight_DC).argmax(axis=0), np.arange(components)]
    turned: npt.NDArray[np.float32] = (turn_KC * np.where(largest_C < 0, -1, 1)).astype(np.float32)
    return turned
