"""Plain JPEG files, decoded by TurboJPEG: the pixels that Pillow gives, in less time.

Both are libjpeg-turbo with the accurate transform and smooth upsampling. What differs is what they
make of odd files, so the markers up to the first scan are read here and only files without any
oddity are decoded; so that each of the others stays what it was, it is left to Pillow.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import simplejpeg

from worker.pixels.orientation import orientation

Pixels = npt.NDArray[np.uint8]

_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive frames with Huffman codes."""

_TABLES = (0xC4, 0xDB, 0xDD, 0xFE)
"""Huffman and quantization tables, restart interval, comment."""

_SCAN = 0xDA
_APPS = range(0xE0, 0xF0)

_LEAST_BYTES = {b"JFIF": 14, b"ICC_PROFILE\0": 14, b"Adobe": 12}
"""Of segments that Pillow looks into: of shorter ones it makes an error."""

_EXIF, _XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
_HEAD = struct.Struct(">BBH")
_FRAME = struct.Struct(">BHHB")


_Info = dict[str | tuple[int, int], object]


@dataclass(frozen=True)
class Header:
    """What a plain JPEG says before its first scan; ``info`` has Pillow's names and values."""

    height: int
    width: int
    info: _Info

    @property
    def orientation(self) -> int:
        return orientation(self.info)


def read_header(data: bytes) -> Header | None:
    """The header of a plain JPEG: grey or of three components, 8 bits each; else None."""
    info: _Info = {}
    height = width = 0
    position = 2
    try:
        while True:
            lead, marker, length = _HEAD.unpack_from(data, position)
            start, position = position + 4, position + 2 + length
            if lead != 0xFF or length < 2 or position > len(data):
                return None
            if marker == _SCAN:
                return Header(height, width, info) if height and width else None
            if marker in _FRAMES:
                again = height or width
                bits, height, width, components = _FRAME.unpack_from(data, start)
                if again or bits != 8 or components not in (1, 3):
                    return None
            elif marker in _APPS:
                if not _take_note(info, marker, data[start:position]):
                    return None
            elif marker not in _TABLES:
                return None
    except struct.error:  # cut off
        return None


def _take_note(info: _Info, marker: int, segment: bytes) -> bool:
    """Keep an application's segment if it may hold an orientation; False if it is odd."""
    if marker == 0xE1 and segment.startswith(_EXIF):
        before = info.get("exif", _EXIF)  # a long one goes on in the next segment
        assert isinstance(before, bytes)
        info["exif"] = before + segment[len(_EXIF) :]
    elif marker == 0xE1 and segment.startswith(_XMP):
        info["xmp"] = segment[len(_XMP) :]
    elif segment.startswith(b"Photoshop 3.0\0"):
        return False
    return all(
        len(segment) >= least for name, least in _LEAST_BYTES.items() if segment.startswith(name)
    )


def decode_plain(data: bytes) -> Pixels | None:
    """The pixels of a JPEG that :func:`read_header` knows, uint8 RGB ``[H, W, 3]``, not turned.

    None where anything is wrong with it, be it what a decoder could get over. The interpreter lock
    is released.
    """
    try:
        pixels_HWC: Pixels = simplejpeg.decode_jpeg(data, "RGB", strict=True)
    except (ValueError, KeyError, RuntimeError):
        return None
    return pixels_HWC
