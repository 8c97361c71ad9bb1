"""Pixels → the network's input, as a recipe's :class:`~cache.recipe.Transform` says.

In order: resize, centre crop, divide by 255, subtract ``mean``, divide by ``std``, order the
channels. ``mean`` and ``std`` are always those of R, G, B; ``channels="BGR"`` reverses the three
planes after that.

- ``resample="uint8"`` resizes with Pillow and rounds to whole pixel values in between. The result
  equals, bit for bit, that of torchvision's presets on a PIL image.
- ``resample="float32"`` divides first and resizes with ``torch.nn.functional.interpolate``
  (``align_corners=False``; ``nearest`` is ``nearest-exact``, which has no antialias; bicubic
  overshoot is not clamped), then crops.

Shapes: N images, H, W pixels of the source, h, w of the result.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from cache.errors import InvalidRequest, TooLarge
from cache.recipe import Transform

MAX_RESIZED_PIXELS = 100_000_000
"""A sliver of 1 x 60,000 pixels must not become 256 x 15,360,000 because its shorter side grows."""

_PILLOW = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
}
_TORCH = {"nearest": "nearest-exact", "bilinear": "bilinear", "bicubic": "bicubic"}

Pixels = npt.NDArray[np.uint8]


def apply(image_HWC: Pixels, transform: Transform) -> Tensor:
    """One image, uint8 RGB ``[H, W, 3]``, as float32 ``[3, h, w]``, contiguous.

    Raises:
        InvalidRequest: another shape or dtype.
        TooLarge: the resized image, before the crop, would exceed ``MAX_RESIZED_PIXELS``.
    """
    if image_HWC.ndim != 3:
        raise _wrong_shape(image_HWC, "[height, width, 3]")
    return apply_batch(image_HWC[None], transform)[0]


def apply_batch(images_NHWC: Pixels, transform: Transform) -> Tensor:
    """Images of one shape, uint8 RGB ``[N, H, W, 3]``, as float32 ``[N, 3, h, w]``, contiguous.

    Each row equals that of :func:`apply` within 1e-6. Raises as :func:`apply` does.
    """
    shape = images_NHWC.shape
    if len(shape) != 4 or shape[3] != 3 or images_NHWC.dtype != np.uint8 or 0 in shape:
        raise _wrong_shape(images_NHWC, "[images, height, width, 3]")
    resized_hw = _resized(shape[1:3], transform)
    if transform.resample == "uint8":
        images_NCHW = _scaled(_resize_uint8(images_NHWC, resized_hw, transform))
    else:
        images_NCHW = _resize_float32(_scaled(images_NHWC), resized_hw, transform)
        images_NCHW = _crop(images_NCHW, transform).contiguous()
    mean_C11 = torch.tensor(transform.mean, dtype=torch.float32).view(-1, 1, 1)
    std_C11 = torch.tensor(transform.std, dtype=torch.float32).view(-1, 1, 1)
    images_NCHW.sub_(mean_C11).div_(std_C11)
    return images_NCHW.flip(1) if transform.channels == "BGR" else images_NCHW


def _wrong_shape(images: Pixels, wanted: str) -> InvalidRequest:
    return InvalidRequest(
        f"pixels are {images.dtype} {list(images.shape)}",
        value=list(images.shape),
        remedy=f"give uint8 {wanted}, none of them zero",
    )


def _resized(source_HW: tuple[int, ...], transform: Transform) -> tuple[int, int]:
    """Height and width after the resize, before the crop, rounded as torchvision does."""
    if transform.resize == "stretch":
        return transform.size[0], transform.size[1]
    height, width = source_HW
    shorter = transform.size[0]
    longer = int(shorter * max(source_HW) / min(source_HW))
    if shorter * longer > MAX_RESIZED_PIXELS:
        raise TooLarge(
            f"an image of {height} x {width} would be resized to {shorter} x {longer}",
            value=[height, width],
            remedy="crop the image to a less extreme shape, or use resize 'stretch'",
        )
    return (longer, shorter) if height > width else (shorter, longer)


def _crop(images_NCHW: Tensor, transform: Transform) -> Tensor:
    top, left, height, width = _crop_box(images_NCHW.shape[2:], transform)
    return images_NCHW[:, :, top : top + height, left : left + width]


def _crop_box(resized_hw: tuple[int, ...], transform: Transform) -> tuple[int, int, int, int]:
    """Top, left, height, width; halves are rounded to even, as torchvision does."""
    height, width = transform.output_HW
    top = round((resized_hw[0] - height) / 2.0)
    left = round((resized_hw[1] - width) / 2.0)
    return top, left, height, width


def _resize_uint8(images_NHWC: Pixels, resized_hw: tuple[int, int], transform: Transform) -> Pixels:
    """Resized and cropped by Pillow, ``[N, h, w, 3]``."""
    height, width = resized_hw
    top, left, crop_height, crop_width = _crop_box(resized_hw, transform)
    result_NhwC = np.empty((len(images_NHWC), crop_height, crop_width, 3), np.uint8)
    for image_HWC, result_hwC in zip(images_NHWC, result_NhwC, strict=True):
        image = Image.fromarray(np.ascontiguousarray(image_HWC))
        image = image.resize((width, height), _PILLOW[transform.interpolation])
        image = image.crop((left, top, left + crop_width, top + crop_height))
        result_hwC[:] = np.asarray(image)
    return result_NhwC


def _resize_float32(
    images_NCHW: Tensor, resized_hw: tuple[int, int], transform: Transform
) -> Tensor:
    if transform.interpolation == "nearest":
        return interpolate(images_NCHW, resized_hw, mode=_TORCH["nearest"])
    return interpolate(
        images_NCHW,
        resized_hw,
        mode=_TORCH[transform.interpolation],
        align_corners=False,
        antialias=transform.antialias,
    )


def _scaled(images_NHWC: Pixels) -> Tensor:
    """``[N, H, W, 3]`` in 0..255 as float32 ``[N, 3, H, W]`` in 0..1, contiguous."""
    # torch warns of arrays that it could write to but must not.
    writable = images_NHWC if images_NHWC.flags.writeable else images_NHWC.copy()
    images = torch.from_numpy(np.ascontiguousarray(writable)).permute(0, 3, 1, 2)
    return images.to(torch.float32, memory_format=torch.contiguous_format) / 255.0
