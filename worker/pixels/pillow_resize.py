"""Resize and crop in whole pixel values, by Pillow: what torchvision's presets do to a PIL image.

Needs no torch. Pillow resizes one axis, rounds, then the other one. Between the two steps all that
the crop will not keep can go, and before them the rows: what is kept stays the same bits. Which
axis comes first changes bits, and Pillow 13 does not always begin with the columns any more; here
its rule holds whatever Pillow is installed (src/libImaging/Resample.c, ImagingResampleInner).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image

from cache.recipe import Transform
from worker.pixels.geometry import crop_corner, resized

Pixels = npt.NDArray[np.uint8]

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_REACH = {"bilinear": 1.0, "bicubic": 2.0}
"""How far from its centre each filter looks, in pixels of the coarser grid."""


def resize_uint8(image_HWC: Pixels, transform: Transform, result_hwC: Pixels) -> None:
    """Write the resized and cropped image, uint8 RGB ``[H, W, 3]``, into ``result_hwC``.

    Raises:
        TooLarge: see :func:`worker.pixels.geometry.resized`.
    """
    source_HW = image_HWC.shape[:2]
    resized_hw = resized(source_HW, transform)
    if transform.interpolation == "nearest" or _begins_with_rows(source_HW, resized_hw):
        result_hwC[:] = _rows_first(image_HWC, resized_hw, transform)
    else:
        result_hwC[:] = _columns_first(image_HWC, resized_hw, transform)


def _begins_with_rows(source_HW: tuple[int, ...], resized_hw: tuple[int, int]) -> bool:
    """Whether the height shrinks, and by more than twice as many pixels as the width."""
    less_height = source_HW[0] - resized_hw[0]
    less_width = source_HW[1] - resized_hw[1]
    return less_height > max(0, 2 * less_width)


def _rows_first(image_HWC: Pixels, resized_hw: tuple[int, int], transform: Transform) -> Pixels:
    top, left = crop_corner(resized_hw, transform)
    height, width = transform.output_HW
    chosen = _FILTERS[transform.interpolation]
    image = Image.fromarray(np.ascontiguousarray(image_HWC))
    image = image.resize((image.width, resized_hw[0]), chosen)
    image = image.crop((0, top, image.width, top + height))
    image = image.resize((resized_hw[1], height), chosen)
    return np.asarray(image)[:, left : left + width]


def _columns_first(image_HWC: Pixels, resized_hw: tuple[int, int], transform: Transform) -> Pixels:
    top, left = crop_corner(resized_hw, transform)
    height, width = transform.output_HW
    chosen = _FILTERS[transform.interpolation]
    source = image_HWC.shape[0]
    first, last = _needed(source, resized_hw[0], top, height, transform)
    image = Image.fromarray(np.ascontiguousarray(image_HWC[first:last]))
    image = image.resize((resized_hw[1], last - first), chosen)
    # Rows that are not needed come back as zeros, so that the others are at their places.
    image = image.crop((left, -first, left + width, source - first))
    image = image.resize((width, resized_hw[0]), chosen)
    rows_rwC = np.frombuffer(image.tobytes(), np.uint8).reshape(resized_hw[0], width, 3)
    return rows_rwC[top : top + height]


def _needed(
    source: int, result: int, start: int, count: int, transform: Transform
) -> tuple[int, int]:
    """First and last + 1 of the source's rows that ``count`` result rows from ``start`` look at."""
    scale = source / result
    reach = _REACH[transform.interpolation] * max(scale, 1.0) + 1.0  # one more: rounding
    first = math.floor((start + 0.5) * scale - reach)
    last = math.ceil((start + count - 0.5) * scale + reach)
    return max(first, 0), min(last, source)
