"""Some rows → their pixels or the network's input: the work of one thread or process.

Imports no torch; ``prepare`` is :func:`worker.pixels.transforms.prepare` or a stand-in that loads
it when it is called. Shapes: P rows of a piece, H, W of a source, h, w of the network's input.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData, FeaturepackError, TooLarge
from cache.image_files import Entry, ImageFiles
from cache.recipe import Transform
from worker.pixels.geometry import resized
from worker.pixels.images import Pixels, decode, pixels_to_rgb
from worker.pixels.pillow_resize import resize_uint8

MAX_SOURCE_PIXELS = 1 << 20
"""Larger images are resized on the host: they would take longer to upload than to resize."""

Array = npt.NDArray[Any]
Prepare = Callable[[Pixels, Transform, Array | None], Array]
"""Images of one shape, uint8 ``[N, H, W, 3]``, as the network's float32 input, where one wants."""


@dataclass(frozen=True)
class Decoded:
    """Which rows of a piece cannot be decoded and why, and the seconds it took.

    ``sources`` are what was handed to ``keep``, by place in the piece, of :func:`decode_sources`.
    """

    broken: dict[int, FeaturepackError]
    seconds: float
    sources: list[tuple[int, Any]] = field(default_factory=list)


def decode_inputs(
    files: ImageFiles,
    transform: Transform,
    entries_P: Sequence[Entry],
    inputs_P: Array,
    prepare: Prepare,
) -> Decoded:
    """Put the network's input of some rows in its place; undecodable ones are zero.

    Images of one shape, as datasets of small ones have them, are transformed in one call where
    the recipe resamples in float32.

    Raises:
        CorruptData, Unavailable: as :meth:`cache.image_files.ImageFiles.read`.
    """
    began = time.perf_counter()
    broken: dict[int, FeaturepackError] = {}
    by_shape: dict[tuple[int, ...], list[tuple[int, Pixels]]] = {}
    for place, pixels_HWC in _pixels(files, transform, entries_P, broken):
        if transform.resample == "uint8":
            resize_uint8(pixels_HWC, transform, inputs_P[place])
        else:
            by_shape.setdefault(pixels_HWC.shape, []).append((place, pixels_HWC))
    for alike in by_shape.values():
        places = [place for place, _ in alike]
        images_NHWC = np.stack([pixels for _, pixels in alike])
        if len(places) == len(entries_P):
            prepare(images_NHWC, transform, inputs_P)
        else:
            inputs_P[places] = prepare(images_NHWC, transform, None)
    for place, entry in enumerate(entries_P):
        if entry.row in broken:
            inputs_P[place] = 0
    return Decoded(broken, time.perf_counter() - began)


def decode_sources(
    files: ImageFiles,
    transform: Transform,
    entries_P: Sequence[Entry],
    keep: Callable[[int, Array], Any],
    prepare: Prepare,
) -> Decoded:
    """Decode some rows and give each to ``keep`` with its place: uint8 ``[H, W, 3]``.

    Those of more than ``MAX_SOURCE_PIXELS`` are resized first: float32 ``[3, h, w]``. Raises as
    :func:`decode_inputs`.
    """
    began = time.perf_counter()
    broken: dict[int, FeaturepackError] = {}
    sources = []
    for place, pixels_HWC in _pixels(files, transform, entries_P, broken):
        large = pixels_HWC.shape[0] * pixels_HWC.shape[1] > MAX_SOURCE_PIXELS
        array = prepare(pixels_HWC[None], transform, None)[0] if large else pixels_HWC
        sources.append((place, keep(place, array)))
    return Decoded(broken, time.perf_counter() - began, sources)


def _pixels(
    files: ImageFiles,
    transform: Transform,
    entries_P: Sequence[Entry],
    broken: dict[int, FeaturepackError],
) -> Iterator[tuple[int, Pixels]]:
    """Place and pixels of the rows that can be decoded and resized; the others into ``broken``."""
    for place, entry in enumerate(entries_P):
        data = files.read(entry)  # bytes that changed fail the job; broken images do not
        try:
            pixels_HWC = decode(data) if isinstance(data, bytes) else pixels_to_rgb(data)
            resized(pixels_HWC.shape[:2], transform)
        except (CorruptData, TooLarge) as error:
            broken[entry.row] = error
        else:
            yield place, pixels_HWC
