"""How large an image is resized and what is cut out of it, rounded as torchvision does."""

from __future__ import annotations

from cache.errors import TooLarge
from cache.recipe import Transform

MAX_RESIZED_PIXELS = 100_000_000
"""A sliver of 1 x 60,000 pixels must not become 256 x 15,360,000 because its shorter side grows."""


def resized(source_HW: tuple[int, ...], transform: Transform) -> tuple[int, int]:
    """Height and width after the resize, before the crop.

    Raises:
        TooLarge: they would exceed ``MAX_RESIZED_PIXELS``.
    """
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


def crop_corner(resized_hw: tuple[int, ...], transform: Transform) -> tuple[int, int]:
    """Top and left of the centre crop; halves are rounded to even."""
    height, width = transform.output_HW
    return round((resized_hw[0] - height) / 2.0), round((resized_hw[1] - width) / 2.0)
