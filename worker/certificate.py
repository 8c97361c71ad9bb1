"""Proof that a pack's rows are what plain eager float32 gives.

Sixteen rows are read back from the file and computed again: one image at a time, by the network
as torchvision builds it, on the CPU, without the engine that filled the pack.

Shapes: R sampled rows, D values in a row.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from cache.dataset import Manifest
from cache.errors import CorruptData
from cache.recipe import Numerics, Recipe
from cache.rows import PackRow
from worker.building import Building
from worker.networks import pool, run
from worker.pixels.image_reader import ImageReader
from worker.pixels.transforms import apply

SAMPLES = 16
FLOAT32_BOUND = 1e-4
FLOAT16_STEP = 2.0**-11
"""Largest relative rounding error of float16's 11 bits of significand (IEEE 754 binary16)."""
FAST_COSINE = 0.99


class BeyondBound(CorruptData):
    """Rows are too far from their references: what computed them is wrong."""


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


def certificates(
    buildings: Sequence[Building],
    manifest: Manifest,
    reader: ImageReader,
    build: Callable[[], nn.Module],
    relatives: Mapping[str, PackRow],
    check: Callable[[], None],
) -> dict[str, dict[str, Any]]:
    """The certificate of each pack, by pack id.

    Rows that were copied have been certified before: a pack's figures are the worst of its own
    sample and of the packs that rows were copied from (``relatives`` by id), which ``copied_from``
    names. ``build`` gives the plain float32 network on the CPU with all layers of the plan; it is
    called only if a row was computed. ``check`` is called between rows and may raise to stop.

    Raises:
        BeyondBound: a row is beyond the bound of its recipe.
        CorruptData: no image can be decoded, or one has changed.
    """
    rows = sample_rows(buildings, manifest)
    own = _sampled(buildings, rows, reader, build(), check) if rows else {}
    return {
        b.planned.pack_id: _with_inherited(b, own.get(b.planned.pack_id), relatives)
        for b in buildings
    }


def sample_rows(buildings: Sequence[Building], manifest: Manifest) -> list[int]:
    """Sixteen decodable rows that were not copied into all packs, always the same ones.

    Raises:
        CorruptData: no image of the dataset can be decoded.
    """
    usable_N = np.ones(len(manifest), bool)
    usable_N[buildings[0].invalid_rows()] = False
    if not usable_N.any():
        raise CorruptData(
            "no image of the dataset can be decoded",
            value=manifest.row_id_N[0],
            remedy="check that the files are JPEG, PNG, PPM, BMP, WebP or GIF images",
        )
    copied_N = np.logical_and.reduce([building.copied_N for building in buildings])
    candidates = np.flatnonzero(usable_N & ~copied_N).tolist()
    draw = random.Random(manifest.dataset_id)  # noqa: S311 - a sample, not a secret
    return sorted(draw.sample(candidates, min(SAMPLES, len(candidates))))


def reference_rows(
    rows: Sequence[int],
    recipes: Sequence[Recipe],
    reader: ImageReader,
    network: nn.Module,
    check: Callable[[], None],
) -> list[npt.NDArray[np.float32]]:
    """What eager float32 gives for these rows, one image at a time: [R, D] for each recipe."""
    found: list[list[npt.NDArray[np.float32]]] = [[] for _ in recipes]
    for row in rows:
        check()
        outputs = run(network, apply(reader.decode_row(row), recipes[0].transform)[None])
        for recipe, values in zip(recipes, found, strict=True):
            pooled = pool(outputs[recipe.tap.layer], recipe.tap.pool)
            values.append(pooled[0].float().numpy().ravel())
    return [np.stack(values) for values in found]


def _sampled(
    buildings: Sequence[Building],
    rows: list[int],
    reader: ImageReader,
    network: nn.Module,
    check: Callable[[], None],
) -> dict[str, Certificate]:
    recipes = [building.planned.recipe for building in buildings]
    references = reference_rows(rows, recipes, reader, network, check)
    return {
        b.planned.pack_id: compare(
            b.planned.pack_id,
            b.planned.recipe.numerics,
            rows,
            b.writer.read_rows(np.array(rows)),
            reference_RD,
        )
        for b, reference_RD in zip(buildings, references, strict=True)
    }


def _with_inherited(
    building: Building, own: Certificate | None, relatives: Mapping[str, PackRow]
) -> dict[str, Any]:
    sources = building.sources_used()
    found = [asdict(own)] if own else []
    found += [relatives[pack_id].provenance["certificate"] for pack_id in sources]
    return found[0] | {
        "rows": own.rows if own else [],
        "largest_error": max(one["largest_error"] for one in found),
        "smallest_cosine": min(one["smallest_cosine"] for one in found),
        "copied_from": list(sources),
    }


def compare(
    pack_id: str,
    numerics: Numerics,
    rows: list[int],
    stored: npt.NDArray[Any],
    reference_RD: npt.NDArray[np.float32],
) -> Certificate:
    """How far stored rows [R, ...row] are from their references.

    Raises:
        BeyondBound: farther than the bound.
    """
    stored_RD = stored.reshape(len(rows), -1).astype(np.float32)
    difference = np.abs(stored_RD - reference_RD).max(axis=1)
    scale = np.abs(reference_RD).max(axis=1)
    error = float((difference / np.maximum(scale, np.finfo(np.float32).tiny)).max())
    cosine = float(_cosines(stored_RD, reference_RD).min())
    bound, measure, good = _bound(numerics, error, cosine)
    certificate = Certificate(rows, error, cosine, bound, measure)
    if not good:
        raise BeyondBound(
            f"pack {pack_id} misses its bound: {measure} is "
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
