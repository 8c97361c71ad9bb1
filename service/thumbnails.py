"""A dataset's image → a small WebP.

Pillow's own readers and scaling: it is to be looked at, and takes no part in a row's values.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from cache.errors import CorruptData, TooLarge

FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP", "GIF")
"""What datasets may hold."""
MAX_PIXELS = 100_000_000
"""As for the images of packs."""
Image.MAX_IMAGE_PIXELS = None  # Pillow warns where this module refuses
SHARP_PIXELS = 64 * 64
"""Thumbnails up to here are kept exactly; of larger ones that would take three times the bytes."""
QUALITY = 80


def thumbnail(data: bytes | npt.NDArray[np.uint8], size: int) -> bytes:
    """A WebP of at most ``size`` × ``size`` pixels: upright, undistorted, never enlarged.

    ``data`` is an encoded image, or raw pixels uint8 [H, W, C].

    Raises:
        CorruptData: it cannot be decoded.
        TooLarge: it has more than 100 million pixels.
    """
    try:
        image = _small(_opened(data), size)
    except TooLarge:
        raise
    except Exception as error:  # Pillow's readers raise anything from SyntaxError to struct.error
        raise CorruptData(
            f"the image is broken: {error}", value=size, remedy="replace it, and register again"
        ) from error
    written = io.BytesIO()
    sharp = image.width * image.height <= SHARP_PIXELS
    image.save(written, "WEBP", lossless=sharp, quality=QUALITY)
    return written.getvalue()


def _opened(data: bytes | npt.NDArray[np.uint8]) -> Image.Image:
    if isinstance(data, bytes):
        return Image.open(io.BytesIO(data), formats=FORMATS)
    return Image.fromarray(data[:, :, 0] if data.shape[2] == 1 else data)


def _small(image: Image.Image, size: int) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.width} × {image.height}")
    image.draft("RGB", (size, size))  # a JPEG is decoded at an eighth of its size where that does
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I"):  # 16 bits, which convert would clip
        upright = Image.fromarray((np.asarray(upright) // 257).astype(np.uint8))
    upright = upright.convert("RGB")
    upright.thumbnail((size, size), Image.Resampling.LANCZOS)
    return upright


def _too_large(pixels: str) -> TooLarge:
    return TooLarge(
        f"the image has more than {MAX_PIXELS} pixels: {pixels}",
        value=pixels,
        remedy="scale it down, and register again",
    )
