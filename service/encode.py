"""Arrays → bytes: small pure functions, one per format.

Features are sent in pieces of 1 to 4 MiB cut from the memory map; nothing is copied that is not
sent. Shapes: N selected rows, D values in a row.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

PIECE_BYTES = 2 << 20

Rows = range | npt.NDArray[np.int64]


def raw(features: npt.NDArray[Any], rows: Rows) -> Iterator[bytes]:
    """The rows' values, little-endian, row after row."""
    row_bytes = features[:1].nbytes or 1
    step = max(1, PIECE_BYTES // row_bytes)
    for first in range(0, len(rows), step):
        part = rows[first : first + step]
        if isinstance(part, range):
            yield features[part.start : part.stop : part.step].tobytes()
        else:
            yield features[part].tobytes()


def npy_header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """Header of a ``.npy`` file, format version 1.0 (NumPy's NEP 1)."""
    header = io.BytesIO()
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    return header.getvalue()


def npy(features: npt.NDArray[Any], rows: Rows) -> Iterator[bytes]:
    yield npy_header((len(rows), *features.shape[1:]), features.dtype)
    yield from raw(features, rows)


def as_json(fields: dict[str, Any]) -> Iterator[bytes]:
    """JSON text; arrays become nested lists."""
    yield json.dumps(fields, default=_plain, ensure_ascii=False).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON")
