"""What a source gives, and how much of it is too much."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cache.errors import TooLarge

Pixels = npt.NDArray[np.uint8]

Place = tuple[str, str]
"""The split and the class of an image."""


@dataclass(frozen=True)
class IngestLimits:
    """What one dataset may hold.

    ``max_bytes`` bounds all its images (unpacked), ``max_members`` the files of a folder or an
    archive (those that are no images count too), ``max_rows`` the images of arrays,
    ``max_image_bytes`` one image file, ``max_pixels`` one image of an array and ``max_whole_bytes``
    an array that can only be read in one piece. What an upload unpacks to may be ``free_bytes``
    plus ``max_ratio`` times the upload's own size: the first term leaves room for small sets of
    very regular images, which deflate to a thousandth; the second stops bombs.
    """

    max_bytes: int = 64 << 30
    max_members: int = 1_000_000
    max_rows: int = 20_000_000
    max_image_bytes: int = 256 << 20
    max_pixels: int = 100_000_000
    max_whole_bytes: int = 2 << 30
    max_ratio: int = 200
    free_bytes: int = 16 << 20


class Budget:
    """Counts what is unpacked from an upload of ``packed_bytes``."""

    def __init__(self, limits: IngestLimits, packed_bytes: int) -> None:
        self._limits = limits
        self._allowed = limits.free_bytes + limits.max_ratio * packed_bytes
        self._spent = 0

    def spend(self, count: int, name: str) -> None:
        """Count bytes that ``name`` unpacked to, or is about to.

        Raises:
            TooLarge: the upload holds more than it may.
        """
        self._spent += count
        if self._spent > self._limits.max_bytes:
            raise TooLarge(
                f"the upload unpacks to more than {self._limits.max_bytes} bytes, at {name!r}",
                value=name,
                remedy="split the dataset, or put it below the data root and register that folder",
            )
        if self._spent > self._allowed:
            raise TooLarge(
                f"the upload unpacks to more than {self._limits.max_ratio} times its size, "
                f"at {name!r}",
                value=name,
                remedy="store the images as PNG or JPEG, or pack them without compression",
            )


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image: the bytes of its file, or raw pixels uint8 ``[H, W, C]``.

    ``label`` is the class's name, or None for an unlabelled image.
    """

    row_id: str
    split: str
    label: str | None
    data: bytes | Pixels


Images = Generator[SourceImage, None, None]


@dataclass(frozen=True)
class Source:
    """Images to take in, once, in the order in which they come.

    ``classes`` in their order, or None: then they are all that occur, in code-point order.
    ``folder`` is set where the images stay in place: their folder below the data root.
    ``by_name`` says that the rows of a split are to be ordered by class and row id; otherwise
    they stay as they came. ``place`` is set where split and class follow from all the row ids
    together, so that the images themselves carry none. ``resources`` are closed after use.
    """

    images: Images
    classes: tuple[str, ...] | None = None
    folder: str | None = None
    by_name: bool = True
    place: Callable[[Sequence[str]], list[Place]] | None = None
    resources: ExitStack = field(default_factory=ExitStack)
