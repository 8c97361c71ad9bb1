"""Resize in float32, without rounding: what ``torch.nn.functional.interpolate`` gives.

Shapes: N images, H, W pixels of the source, h, w of the result.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cache.recipe import Transform
from worker.pixels.geometry import crop_corner

_MODES = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}

_PRODUCTS_UP_TO = 64
"""Sources with sides up to this are resized on the CPU by two matrix products: for 32 x 32 to
224 x 224 they take a third of ``interpolate``'s time, at 64 x 64 they are even."""


def resize_float32(
    images_NCHW: Tensor, resized_hw: tuple[int, int], transform: Transform, out: Tensor | None
) -> Tensor:
    """Resized and cropped float32 ``[N, 3, h, w]``, in ``out`` where that is given."""
    top, left = crop_corner(resized_hw, transform)
    height, width = transform.output_HW
    if images_NCHW.is_cpu and max(images_NCHW.shape[2:]) <= _PRODUCTS_UP_TO:
        return _by_products(images_NCHW, resized_hw, (top, left), transform, out)
    kind = transform.interpolation, transform.antialias
    resized = _resample(images_NCHW, resized_hw, *kind)
    cropped = resized[:, :, top : top + height, left : left + width]
    return cropped.contiguous() if out is None else out.copy_(cropped)


def _by_products(
    images_NCHW: Tensor,
    resized_hw: tuple[int, int],
    corner: tuple[int, int],
    transform: Transform,
    out: Tensor | None,
) -> Tensor:
    """The same as a product for each axis, as resizing is linear and takes one after the other."""
    count, channels, source_h, source_w = images_NCHW.shape
    height, width = transform.output_HW
    kind = transform.interpolation, transform.antialias
    rows_hH = _matrix(source_h, resized_hw[0], corner[0], height, *kind)
    columns_wW = _matrix(source_w, resized_hw[1], corner[1], width, *kind)
    planes = images_NCHW.reshape(-1, source_w) @ columns_wW.T
    if out is None:
        out = images_NCHW.new_empty(count, channels, height, width)
    torch.matmul(
        rows_hH, planes.view(-1, source_h, width), out=out.view(count * channels, height, width)
    )
    return out


@lru_cache(maxsize=64)
def _matrix(
    source: int, resized: int, start: int, count: int, interpolation: str, antialias: bool
) -> Tensor:
    """``[count, source]``: how much each source pixel gives to ``count`` results from ``start``."""
    with torch.inference_mode(False):  # it is kept, and an inference tensor is not for everybody
        unit = torch.eye(source)[None, None]
        columns = _resample(unit, (resized, source), interpolation, antialias)[0, 0]
        return columns[start : start + count].clone()


def _resample(
    images_NCHW: Tensor, resized_hw: tuple[int, int], interpolation: str, antialias: bool
) -> Tensor:
    if interpolation == "nearest":
        return interpolate(images_NCHW, resized_hw, mode=_MODES["nearest"])
    return interpolate(
        images_NCHW,
        resized_hw,
        mode=_MODES[interpolation],
        align_corners=False,
        antialias=antialias,
    )
