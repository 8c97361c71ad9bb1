"""Encoded bytes → pixels: what every image of a dataset looks like to a network.

``decode`` reads JPEG, PNG, PPM/PGM/PBM, BMP, WebP and GIF, recognised by their first bytes, and
gives uint8 RGB ``[H, W, 3]``. The rules:

- EXIF orientation (or XMP's, where there is no EXIF one) is applied: images stand upright.
- Grey is repeated three times; a palette gives its colours; one bit gives 0 and 255.
- Alpha is dropped, not composited: the colours under it stay, as ``convert("RGB")`` leaves them.
- CMYK and YCbCr become RGB as Pillow converts them.
- 16-bit grey becomes ``value / 257`` rounded (65535 → 255); Pillow's own conversion would clip it.
  16 bits a channel in colour become 8 as Pillow's decoder does it (the high byte).
- Of an animation the first frame is taken.
- Floating-point pixels and anything else are refused.

For 8-bit images without an orientation this equals ``np.asarray(Image.open(f).convert("RGB"))``.

Pillow's reader classes are called directly, not ``Image.open``: that one issues Python warnings
for sizes from 89 million pixels up and for malformed metadata, and silencing those would mean
changing filters that all threads share. For the same reason the orientation is read here. Plain
JPEG files take a faster way to the same pixels, see ``worker/pixels/jpeg.py``.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.WebPImagePlugin import WebPImageFile

from cache.errors import CorruptData, InvalidRequest, TooLarge
from worker.pixels import jpeg
from worker.pixels.orientation import orientation, upright

MAX_PIXELS = 100_000_000

Pixels = npt.NDArray[np.uint8]

_GREY_16 = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_CONVERTIBLE = ("RGB", "1", "L", "LA", "P", "PA", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")
_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
_REMEDY = "replace the image by a JPEG, PNG, PPM, BMP, WebP or GIF file that opens elsewhere"


class _Jpeg(JpegImageFile):
    """A JPEG whose resolution nobody asks for: Pillow's look for it may issue warnings."""

    def _read_dpi_from_exif(self) -> None:
        return


def _png(file: io.BytesIO, name: str) -> ImageFile:
    return PngImageFile(io.BytesIO(_without_animation(file.getvalue())), name)


_Reader = Callable[[io.BytesIO, str], ImageFile]

_READERS: dict[re.Pattern[bytes], _Reader] = {
    re.compile(rb"\xff\xd8\xff"): _Jpeg,
    re.compile(rb"\x89PNG\r\n\x1a\n"): _png,
    re.compile(rb"P[1-6]\s"): PpmImageFile,
    re.compile(rb"BM"): BmpImageFile,
    re.compile(rb"RIFF....WEBP", re.DOTALL): WebPImageFile,
    re.compile(rb"GIF8[79]a"): GifImageFile,
}


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """The pixels of an encoded image: uint8 ``[H, W, 3]``, RGB, writable, contiguous.

    Thread safe: no global state is read that could change, none is written.

    Raises:
        CorruptData: the bytes are not an image of these formats, or are broken or cut off.
        TooLarge: the image has more than ``max_pixels`` pixels.
    """
    reader = next((call for magic, call in _READERS.items() if magic.match(data)), None)
    if reader is None:
        raise CorruptData(
            "the data is not a JPEG, PNG, PPM, BMP, WebP or GIF image",
            value=repr(data[:16]),
            remedy=_REMEDY,
        )
    if reader is _Jpeg and (header := jpeg.read_header(data)):
        _check_size((header.width, header.height), max_pixels)
        if (plain_HWC := jpeg.decode_plain(data)) is not None:
            return upright(plain_HWC, header.orientation)
    return _decode_by_pillow(reader, data, max_pixels)


def _decode_by_pillow(reader: _Reader, data: bytes, max_pixels: int) -> Pixels:
    """Raises as :func:`decode`."""
    try:
        with reader(io.BytesIO(data), "") as image:
            _check_size(image.size, max_pixels)
            image.load()
            _check_size(image.size, max_pixels)  # a GIF's frame may stick out of its screen
            pixels_HWC = _to_rgb(image)
            return upright(pixels_HWC, orientation(image.info))
    except (CorruptData, TooLarge, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_many(str(error), max_pixels) from error
    except Exception as error:  # Pillow's readers raise anything from SyntaxError to struct.error
        raise CorruptData(
            f"the image is broken: {error}", value=f"{len(data)} bytes", remedy=_REMEDY
        ) from error


def pixels_to_rgb(pixels_HWC: Pixels) -> Pixels:
    """Raw uint8 pixels ``[H, W, C]`` with C of 1, 3 or 4 as RGB ``[H, W, 3]``; alpha is dropped.

    Raises:
        InvalidRequest: another shape or dtype.
    """
    shape = pixels_HWC.shape
    if pixels_HWC.dtype != np.uint8 or len(shape) != 3 or shape[2] not in (1, 3, 4):
        raise InvalidRequest(
            f"pixels are {pixels_HWC.dtype} {list(shape)}",
            value=list(shape),
            remedy="give uint8 [height, width, channels] with 1, 3 or 4 channels",
        )
    if shape[2] == 1:
        return np.repeat(pixels_HWC, 3, axis=2)
    return np.ascontiguousarray(pixels_HWC[:, :, :3])


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise _too_many(f"{width} x {height}", max_pixels)
    if width < 1 or height < 1:
        raise CorruptData("the image has no pixels", value=[width, height], remedy=_REMEDY)


def _too_many(size: str, max_pixels: int) -> TooLarge:
    return TooLarge(
        f"the image has more than {max_pixels} pixels: {size}",
        value=size,
        remedy="scale the image down before it is registered",
    )


def _to_rgb(image: Image.Image) -> Pixels:
    mode = image.mode
    if mode in _GREY_16:
        values_HW = np.clip(np.asarray(image), 0, 65535).astype(np.uint32)
        # 257 is odd, so no value stands halfway between two results.
        grey_HW = ((values_HW + 128) // 257).astype(np.uint8)
        return np.repeat(grey_HW[:, :, None], 3, axis=2)
    # Transparency would only add an alpha channel, and Pillow warns where it cannot.
    image.info.pop("transparency", None)
    if mode in _PREMULTIPLIED:
        image = image.convert(_PREMULTIPLIED[mode])
    elif mode not in _CONVERTIBLE:
        raise CorruptData(
            f"pixels of Pillow's mode {mode!r} have no agreed meaning as RGB",
            value=mode,
            remedy=_REMEDY,
        )
    return np.array(image if mode == "RGB" else image.convert("RGB"))


def _without_animation(png: bytes) -> bytes:
    """A PNG without its acTL chunks: Pillow warns of bad ones, and frame 0 is the image anyway."""
    if b"acTL" not in png:
        return png
    kept, position = [png[:8]], 8
    while position + 8 <= len(png):
        length, kind = struct.unpack_from(">I4s", png, position)
        if kind != b"acTL":
            kept.append(png[position : position + 12 + length])
        position += 12 + length
    return b"".join(kept)
