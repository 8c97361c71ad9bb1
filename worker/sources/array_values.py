"""The values of uploaded arrays: pixels of several types become uint8, labels become names.

Images are ``[N, H, W]``, ``[N, H, W, C]`` with C of 1, 3 or 4, or ``[N, C, H, W]`` with C of 1 or
3 and H above 1. uint8 is taken as it is; booleans become 0 and 255; uint16 becomes
``value / 257`` rounded; floats must all lie in 0..1 and become ``255 * value`` rounded.

Labels are ``[N]`` (further axes of length one are dropped): strings, or integers, of which -1
means unlabelled.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cache.errors import InvalidRequest, TooLarge
from worker.sources.source import IngestLimits, Pixels

_PIXEL_TYPES = ("uint8", "uint16", "bool", "float16", "float32", "float64")

Label = int | str


class NamedArray(Protocol):
    """What npz, HDF5 and pickles have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def blocks(self) -> Iterator[npt.NDArray[Any]]: ...


@dataclass(frozen=True)
class InMemory:
    """A :class:`NamedArray` that has been read already."""

    array: npt.NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def blocks(self) -> Iterator[npt.NDArray[Any]]:
        yield self.array


def shape_HWC(images: NamedArray, limits: IngestLimits) -> tuple[int, int, int]:
    """Height, width and channels of the images of an array.

    Raises:
        InvalidRequest: a shape or dtype that images do not have.
        TooLarge: more than ``max_pixels``.
    """
    shape = images.shape
    if _is_channels_first(shape):
        height, width, channels = shape[2], shape[3], shape[1]
    else:
        height, width, channels = (*shape[1:], 1, 1, 1)[:3]
    fits = len(shape) in (3, 4) and channels in (1, 3, 4) and 0 not in shape[1:]
    if not fits or images.dtype.name not in _PIXEL_TYPES:
        raise InvalidRequest(
            f"images are {images.dtype} {list(shape)}",
            value=list(shape),
            remedy="give uint8 [images, height, width, channels] with 1, 3 or 4 channels",
        )
    if height * width > limits.max_pixels:
        raise TooLarge(
            f"images of {height} x {width} have more than {limits.max_pixels} pixels",
            value=list(shape),
            remedy="scale the images down",
        )
    return height, width, channels


def to_pixels(block: npt.NDArray[Any]) -> Pixels:
    """Images of an admitted shape and dtype as uint8 ``[N, H, W, C]``.

    Raises:
        InvalidRequest: floats outside 0..1.
    """
    if block.ndim == 3:
        block = block[..., None]
    elif _is_channels_first(block.shape):
        block = block.transpose(0, 2, 3, 1)
    if block.dtype == np.uint8:
        return block
    if block.dtype == np.bool_:
        return block.astype(np.uint8) * np.uint8(255)
    if block.dtype.kind == "u":
        return ((block.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if not ((block >= 0) & (block <= 1)).all():  # also so for NaN
        least, most = float(block.min()), float(block.max())
        raise InvalidRequest(
            f"images are {block.dtype} with values from {least} to {most}",
            value=f"{least} to {most}",
            remedy="give uint8, or floats that all lie between 0 and 1",
        )
    return np.rint(block.astype(np.float64) * 255).astype(np.uint8)


def read_labels(array: NamedArray, what: str) -> list[Label]:
    """All values of an array of labels; ``what`` names it in errors.

    Raises:
        InvalidRequest: neither integers nor strings, more than one for an image, or below -1.
    """
    kind, shape = array.dtype.kind, array.shape
    if kind not in "buiSU" or any(side != 1 for side in shape[1:]):
        raise InvalidRequest(
            f"{what} are {array.dtype} {list(shape)}",
            value=list(shape),
            remedy="give integers or strings, one for each image: shape [images]",
        )
    values: list[Any] = []
    for block in array.blocks():
        if kind == "U":
            _check_letters(block, what)
        values += block.reshape(-1).tolist()
    if kind == "S":
        return [_utf8(value, what) for value in values]
    if kind == "U":
        _check_encodable(values, what)
        return values
    if min(values, default=0) < -1:
        raise InvalidRequest(
            f"{what} has a value below -1", value=min(values), remedy="use -1 for unlabelled images"
        )
    return [int(value) for value in values]


def _is_channels_first(shape: tuple[int, ...]) -> bool:
    # A side of one pixel is no image's: [N, 1, 1, 512] are the features of some network.
    return len(shape) == 4 and shape[3] not in (1, 3, 4) and shape[1] in (1, 3) and shape[2] > 1


def _utf8(value: bytes, what: str) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(value, what) from error


def _check_letters(block: npt.NDArray[np.str_], what: str) -> None:
    """numpy keeps letters as uint32 and makes texts of any number, Python does not."""
    numbers = (
        np.ascontiguousarray(block)
        .reshape(-1)
        .view(np.uint8)
        .view(np.dtype(np.uint32).newbyteorder(block.dtype.byteorder))
    )
    if numbers.size and int(numbers.max()) > sys.maxunicode:
        raise _not_utf8(f"letter {int(numbers.max())}", what)


def _check_encodable(values: list[str], what: str) -> None:
    for value in set(values):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:  # half of a surrogate pair
            raise _not_utf8(value, what) from error


def _not_utf8(value: str | bytes, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} has the value {value!r}, which is not Unicode text",
        value=repr(value),
        remedy="store the names as UTF-8",
    )
