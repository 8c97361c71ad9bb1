"""Proof that a pack's rows are what plain eager float32 gives.

Sixteen rows are read back from the file and computed again: one image at a time, by the network
as torchvision builds it, on the CPU, without the engine that filled the pack.

Shapes: R sampled rows, D values in a row.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
from torch import nn

from cache.dataset import Manifest
from cache.errors import CorruptData
from cache.recipe import Numerics
from worker.building import Building
from worker.image_reader import ImageReader
from worker.networks import pool, run
from worker.transforms import apply

SAMPLES = 16
FLOAT32_BOUND = 1e-4
FLOAT16_STEP = 2.0**-11
"""Largest relative rounding error of float16's 11 bits of significand (IEEE 754 binary16)."""
FAST_COSINE = 0.99


@dataclass(frozen=True)
class Certificate:
    """How far the sampled rows are from eager float32.

    ``largest_error`` is the largest over the rows of max|difference| / max|reference|;
    ``smallest_cosine`` the smallest cosine between a row and its reference. ``bound`` is what the
    recipe allows: an error (``float32``) or a cosine (``fast``).
    """

    rows: list[int]
    largest_error: float
    smallest_cosine: float
    bound: float
    measure: str


def certify(
    buildings: Sequence[Building],
    manifest: Manifest,
    reader: ImageReader,
    network: nn.Module,
    invalid: Sequence[int],
) -> dict[str, dict[str, object]]:
    """The certificate of each pack, by pack id.

    ``network`` is the plain float32 network on the CPU with all layers of the plan.

    Raises:
        CorruptData: a row is beyond the bound of its recipe.
    """
    rows = sample_rows(manifest, invalid)
    recipe = buildings[0].planned.recipe
    references: dict[str, list[npt.NDArray[np.float32]]] = {
        b.planned.pack_id: [] for b in buildings
    }
    for row in rows:
        image_CHW = apply(reader.decode_row(row), recipe.transform)
        outputs = run(network, image_CHW[None])
        for building in buildings:
            tap = building.planned.recipe.tap
            pooled = pool(outputs[tap.layer], tap.pool)
            references[building.planned.pack_id].append(pooled[0].float().numpy().ravel())
    return {
        b.planned.pack_id: asdict(_compare(b, rows, np.stack(references[b.planned.pack_id])))
        for b in buildings
    }


def sample_rows(manifest: Manifest, invalid: Sequence[int]) -> list[int]:
    """Sixteen decodable rows, the same ones for the same dataset. Raises CorruptData if none."""
    usable = sorted(set(range(len(manifest))) - set(invalid))
    if not usable:
        raise CorruptData(
            "no image of the dataset can be decoded",
            value=manifest.row_id_N[0],
            remedy="check that the files are JPEG, PNG, PPM, BMP, WebP or GIF images",
        )
    draw = random.Random(manifest.dataset_id)  # noqa: S311 - a sample, not a secret
    chosen = draw.sample(usable, min(SAMPLES, len(usable)))
    return sorted(chosen)


def _compare(
    building: Building, rows: list[int], reference_RD: npt.NDArray[np.float32]
) -> Certificate:
    stored_RD = building.writer.read_rows(rows)
    stored_RD = stored_RD.reshape(len(rows), -1).astype(np.float32)
    difference = np.abs(stored_RD - reference_RD).max(axis=1)
    scale = np.abs(reference_RD).max(axis=1)
    error = float((difference / np.maximum(scale, np.finfo(np.float32).tiny)).max())
    cosine = float(_cosines(stored_RD, reference_RD).min())
    numerics = building.planned.recipe.numerics
    bound, measure, good = _bound(numerics, error, cosine)
    certificate = Certificate(rows, error, cosine, bound, measure)
    if not good:
        raise CorruptData(
            f"pack {building.planned.pack_id} misses its bound: {measure} is "
            f"{error if measure == 'largest_error' else cosine:.2e}, allowed is {bound:.2e}",
            value=asdict(certificate),
            remedy="report this: the worker's engine does not compute this network right",
        )
    return certificate


def _bound(numerics: Numerics, error: float, cosine: float) -> tuple[float, str, bool]:
    if numerics.compute == "fast":
        return FAST_COSINE, "smallest_cosine", cosine >= FAST_COSINE
    bound = FLOAT32_BOUND + (FLOAT16_STEP if numerics.stored == "float16" else 0.0)
    return bound, "largest_error", error <= bound


def _cosines(
    a_RD: npt.NDArray[np.float32], b_RD: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    a, b = a_RD.astype(np.float64), b_RD.astype(np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = (np.abs(a).max(axis=1) == 0) & (np.abs(b).max(axis=1) == 0)
    cosines = (a * b).sum(axis=1) / np.where(norms > 0, norms, 1.0)
    return np.where(both_zero, 1.0, cosines)
