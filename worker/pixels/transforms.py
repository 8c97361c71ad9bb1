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

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cache.errors import InvalidRequest
from cache.recipe import Transform
from worker.pixels.geometry import resized
from worker.pixels.pillow_resize import resize_uint8
from worker.pixels.tensor_resize import resize_float32

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
    images = prepare(images_NHWC, transform)
    return normalise(images, transform) if images.dtype == torch.uint8 else images


def empty_images(count: int, transform: Transform) -> Tensor:
    """Zeros in the form that :func:`prepare` gives."""
    if transform.resample == "uint8":
        return torch.zeros(count, *transform.output_HW, 3, dtype=torch.uint8)
    return torch.zeros(count, 3, *transform.output_HW)


def prepare(images_NHWC: Pixels, transform: Transform, out: Tensor | None = None) -> Tensor:
    """What the host does to images of one shape, uint8 RGB ``[N, H, W, 3]``.

    Where the recipe resamples in uint8 that ends with pixels ``[N, h, w, 3]``, which
    :func:`normalise` makes the network's input; else it is that input, float32 ``[N, 3, h, w]``.
    It is written into ``out``, contiguous and of that shape, where that is given. Raises as
    :func:`apply` does.
    """
    shape = images_NHWC.shape
    if len(shape) != 4 or shape[3] != 3 or images_NHWC.dtype != np.uint8 or 0 in shape:
        raise _wrong_shape(images_NHWC, "[images, height, width, 3]")
    if transform.resample == "float32":
        return _resize_and_standardise(_as_tensor(images_NHWC), transform, out)
    if out is None:
        out = torch.empty(len(images_NHWC), *transform.output_HW, 3, dtype=torch.uint8)
    for image_HWC, result_hwC in zip(images_NHWC, out.numpy(), strict=True):
        resize_uint8(image_HWC, transform, result_hwC)
    return out


def prepare_array(
    images_NHWC: Pixels, transform: Transform, out: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """:func:`prepare` for those who know numpy only."""
    place = None if out is None else torch.from_numpy(out)
    return prepare(images_NHWC, transform, place).numpy()


def resize_on(images_NHWC: Tensor, transform: Transform) -> Tensor:
    """The network's input, float32 ``[N, 3, h, w]``, on the device that the images are on.

    For recipes that resample in float32: uint8 images ``[N, H, W, 3]`` of one shape; the result
    equals that of :func:`apply_batch` within 1e-6. TF32 has no part in it. Raises as
    :func:`apply` does.
    """
    return _resize_and_standardise(images_NHWC, transform, None)


def normalise(pixels_NhwC: Tensor, transform: Transform) -> Tensor:
    """Resized and cropped uint8 pixels ``[N, h, w, 3]`` as float32 ``[N, 3, h, w]``, contiguous.

    On the device that the pixels are on.
    """
    planes_NCHW = pixels_NhwC.permute(0, 3, 1, 2).contiguous()
    return _standardised(planes_NCHW.to(torch.float32).div_(255.0), transform)


def _standardised(images_NCHW: Tensor, transform: Transform) -> Tensor:
    """Values in 0..1, overwritten, minus ``mean``, divided by ``std``, channels in order."""
    device = images_NCHW.device
    mean_C11 = torch.tensor(transform.mean, dtype=torch.float32, device=device).view(-1, 1, 1)
    std_C11 = torch.tensor(transform.std, dtype=torch.float32, device=device).view(-1, 1, 1)
    images_NCHW.sub_(mean_C11).div_(std_C11)
    return images_NCHW.flip(1) if transform.channels == "BGR" else images_NCHW


def _wrong_shape(images: Pixels, wanted: str) -> InvalidRequest:
    return InvalidRequest(
        f"pixels are {images.dtype} {list(images.shape)}",
        value=list(images.shape),
        remedy=f"give uint8 {wanted}, none of them zero",
    )


def _resize_and_standardise(
    images_NHWC: Tensor, transform: Transform, out: Tensor | None
) -> Tensor:
    resized_hw = resized(images_NHWC.shape[1:3], transform)
    planes_NCHW = images_NHWC.permute(0, 3, 1, 2)
    # Made contiguous as bytes, that is, before there is four times as much to move.
    images_NCHW = planes_NCHW.contiguous().to(torch.float32).div_(255.0)
    resized_NChw = resize_float32(images_NCHW, resized_hw, transform, out)
    result = _standardised(resized_NChw, transform)
    return result if out is None or result is out else out.copy_(result)


def _as_tensor(images_NHWC: Pixels) -> Tensor:
    # torch warns of arrays that it could write to but must not.
    writable = images_NHWC if images_NHWC.flags.writeable else images_NHWC.copy()
    return torch.from_numpy(np.ascontiguousarray(writable))
