"""How a photo was held: EXIF's orientation, or XMP's where there is no EXIF one."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]


def upright(pixels_HWC: Pixels, orientation: int) -> Pixels:
    """Undo the turn and mirroring that EXIF's orientation (1 to 8) describes."""
    if orientation in (5, 6, 7, 8):
        pixels_HWC = pixels_HWC.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels_HWC = pixels_HWC[::-1]
    if orientation in (2, 3, 6, 7):
        pixels_HWC = pixels_HWC[:, ::-1]
    return np.ascontiguousarray(pixels_HWC)


def orientation(info: Mapping[str | tuple[int, int], object]) -> int:
    """EXIF's orientation, else XMP's, else 1; ``info`` is what Pillow notes of an image."""
    exif, profile = info.get("exif"), info.get("Raw profile type exif")
    if not isinstance(exif, bytes) and isinstance(profile, str):
        try:
            exif = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            exif = None
    if isinstance(exif, bytes) and (found := _exif_orientation(exif)) is not None:
        return found
    xmp = info.get("xmp")
    match = re.search(rb'tiff:Orientation(?:="|>)([0-9])', xmp) if isinstance(xmp, bytes) else None
    return int(match[1]) if match else 1


def _exif_orientation(exif: bytes) -> int | None:
    """Tag 274 of the first directory of EXIF's TIFF structure, or None where there is none."""
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (entries,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * entries, 12):
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == 274:
                code = {1: "B", 3: "H", 4: "I"}.get(kind)
                return struct.unpack_from(order + code, exif, entry + 8)[0] if code else None
    except struct.error:  # cut off: as good as no orientation
        pass
    return None
