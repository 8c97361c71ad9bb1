"""Selected rows as an Arrow IPC stream: features, label, row_id, row_hash, valid.

A row of features is a fixed-size list; its shape is in the field's metadata, the class names in
the schema's. Record batches are of a piece's size. Shapes: P rows of a batch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from service.encode import Slice, at
from service.reading import Buffer, OpenFile, blocks_of

_END = b"\xff\xff\xff\xff\0\0\0\0"
"""What ends a stream: a continuation marker and a length of zero."""


def arrow(chosen: Slice, file: OpenFile) -> Iterator[Buffer]:
    schema = _schema(chosen)
    yield memoryview(schema.serialize()).cast("B")
    first = 0
    for block in chosen.features.blocks(file):
        yield memoryview(_batch(chosen, schema, first, block).serialize()).cast("B")
        first += len(block)
    yield _END


def arrow_bytes(chosen: Slice) -> int:
    """The length of :func:`arrow`; no feature is read for it."""
    schema, features = _schema(chosen), chosen.features
    total: int = schema.serialize().size + len(_END)
    for first, last in blocks_of(len(chosen.rows), features.place.row_bytes):
        instead = np.empty((last - first, *features.shape[1:]), features.dtype)
        total += pa.ipc.get_record_batch_size(_batch(chosen, schema, first, instead))
    return total


def _schema(chosen: Slice) -> Any:
    features, classes = chosen.features, list(chosen.pack.classes)
    shape = list(features.shape[1:])
    values = pa.list_(pa.from_numpy_dtype(features.dtype), math.prod(shape))
    return pa.schema(
        [
            pa.field("features", values, metadata={"shape": json.dumps(shape)}),
            pa.field("label", pa.int64()),
            pa.field("row_id", pa.string()),
            pa.field("row_hash", pa.binary(16)),
            pa.field("valid", pa.bool_()),
        ],
        metadata={"classes": json.dumps(classes, ensure_ascii=False)},
    )


def _batch(chosen: Slice, schema: Any, first: int, block: npt.NDArray[Any]) -> Any:
    rows = chosen.rows[first : first + len(block)]
    values = pa.array(block.reshape(-1))
    hashes = np.ascontiguousarray(at(chosen.pack.row_hash_NH, rows))
    columns = [
        pa.FixedSizeListArray.from_arrays(values, type=schema.field("features").type),
        pa.array(at(chosen.pack.labels_N, rows)),
        pa.array(chosen.row_ids(first, first + len(block)), pa.string()),
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(rows), [None, pa.py_buffer(hashes)]
        ),
        pa.array(at(chosen.pack.valid_N, rows)),
    ]
    return pa.record_batch(columns, schema=schema)
