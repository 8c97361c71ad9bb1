"""numpy's arrays and dtypes as a pickle spells them out, checked before they become real.

numpy pickles an array as ``_reconstruct(ndarray, (0,), b'b')`` followed by a state ``(1, shape,
dtype, is_fortran, data)``, or, under protocol 5, as ``_frombuffer(data, dtype, shape, order)``;
a dtype as ``dtype('u1', False, True)`` and a state ``(3, '|', None, None, None, -1, -1, 0)``.
Python 3 wraps data as ``_codecs.encode(text, 'latin1')`` under protocols up to 2, and no data as
``bytes()``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cache.errors import InvalidRequest

Spend = Callable[[int], None]
"""Counts bytes about to be copied; raises where they are too many."""

Known = Literal["reconstruct", "frombuffer", "ndarray", "dtype", "encode", "bytes"]

NAMES: dict[str, Known] = {
    "numpy.core.multiarray._reconstruct": "reconstruct",
    "numpy._core.multiarray._reconstruct": "reconstruct",
    "numpy.core.numeric._frombuffer": "frombuffer",
    "numpy._core.numeric._frombuffer": "frombuffer",
    "numpy.ndarray": "ndarray",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
    "__builtin__.bytes": "bytes",
}
"""All names that a pickle may ask for. None of them is ever looked up."""

_DTYPE = re.compile(r"[?]|b1|[iu][1248]|f[248]|[SU][0-9]{1,5}")
_MAX_DIMENSIONS = 16


@dataclass(frozen=True, slots=True)
class PickledName:
    """A name on the machine's stack."""

    known: Known


@dataclass(slots=True)
class PickledDtype:
    """A dtype of numbers, booleans or strings."""

    dtype: np.dtype[Any]

    def set_state(self, state: tuple[Any, ...], spend: Spend) -> None:
        """Take the byte order; anything with fields or a shape of its own is refused."""
        order = _ascii(state[1])
        if len(state) < 5 or any(part is not None for part in state[2:5]) or order not in "<>|=":
            raise _refused("a dtype with fields")
        if order in "<>":
            self.dtype = self.dtype.newbyteorder("<" if order == "<" else ">")


@dataclass(slots=True)
class PickledArray:
    """An array whose state may still be to come."""

    array: npt.NDArray[Any] | None = None

    def set_state(self, state: tuple[Any, ...], spend: Spend) -> None:
        """Take ``([version,] shape, dtype, is_fortran, data)``."""
        shape, dtype, is_fortran, data = state[-4:]
        self.array = _array(shape, dtype, data, "F" if is_fortran else "C", spend)

    def finished(self) -> npt.NDArray[Any]:
        if self.array is None:
            raise ValueError("an array has no data")
        return self.array


def call(function: Any, arguments: Any, spend: Spend) -> Any:
    """What one of ``NAMES`` gives for ``arguments``.

    Raises:
        InvalidRequest: an array of objects or records.
        TypeError, ValueError: arguments that numpy does not write.
    """
    if not isinstance(function, PickledName) or type(arguments) is not tuple:
        raise TypeError(f"a {type(function).__name__} is called")
    match function.known, arguments:
        case "reconstruct", (PickledName("ndarray"), *_):
            return PickledArray()
        case "frombuffer", (data, dtype, shape, order) if _ascii(order) in ("C", "F"):
            return PickledArray(_array(shape, dtype, data, _ascii(order), spend))
        case "dtype", (name, *_):
            return PickledDtype(_dtype(_ascii(name)))
        case "encode", (str(text), encoding) if _ascii(encoding) in ("latin1", "latin-1"):
            spend(len(text))
            return text.encode("latin-1")
        case "bytes", ():
            return b""
    raise TypeError(f"{function.known} is called with unusual arguments")


def _array(shape: Any, dtype: Any, data: Any, order: str, spend: Spend) -> npt.NDArray[Any]:
    if type(shape) is not tuple or len(shape) > _MAX_DIMENSIONS:
        raise TypeError("a shape is no tuple of sizes")
    if not all(type(side) is int and 0 <= side < 1 << 48 for side in shape):
        raise ValueError("a shape has an impossible size")
    if isinstance(data, list):
        raise _refused("an array of objects")
    if not isinstance(dtype, PickledDtype) or not isinstance(data, bytes):
        raise TypeError("an array has no dtype or no data")
    if math.prod(shape) * dtype.dtype.itemsize != len(data):
        raise ValueError(f"an array of {len(data)} bytes claims the shape {list(shape)}")
    spend(len(data))
    native = dtype.dtype.newbyteorder("=")
    flat = np.frombuffer(data, dtype.dtype) if data else np.empty(0, dtype.dtype)
    return np.array(flat.reshape(shape, order="F" if order == "F" else "C"), native, order="C")


def _dtype(name: str) -> np.dtype[Any]:
    if not _DTYPE.fullmatch(name):
        raise _refused(f"an array of dtype {name[:40]!r}")
    return np.dtype(name)


def _ascii(text: Any) -> str:
    if isinstance(text, bytes):
        text = text.decode("ascii")
    if type(text) is not str:
        raise TypeError(f"a {type(text).__name__} stands where a text should")
    return text


def _refused(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"the pickle holds {what}", value=what, remedy="pickle arrays of numbers or of strings"
    )
