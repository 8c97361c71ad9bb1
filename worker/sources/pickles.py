"""The labs' pickles, ``{'features': array, 'labels': array}``, read without unpickling.

``pickle_machine.py`` executes the file; it can make values, containers and arrays, nothing else.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cache.errors import CorruptData, FeaturepackError, InvalidRequest, TooLarge
from worker.sources.pickle_machine import PickleMachine
from worker.sources.pickled_arrays import PickledArray


def load_arrays(path: Path, max_bytes: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a pickled dict by name, writable, C-ordered, in native byte order.

    Numbers, booleans and strings of any shape. Flat lists of integers or of texts become arrays
    too; single numbers, texts and None beside them are left out.

    Raises:
        InvalidRequest: no dict of arrays, or the pickle asks for anything that is not an array.
        CorruptData: no pickle, or one that is damaged or cut off.
        TooLarge: the file or its arrays have more than ``max_bytes``, or it takes too many steps.
    """
    size = path.stat().st_size
    if size > max_bytes:
        raise TooLarge(
            f"the pickle has {size} bytes, the limit is {max_bytes}",
            value=size,
            remedy="upload the arrays as npz or HDF5, in parts",
        )
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _arrays_of(PickleMachine(data, max_bytes).run())
    except FeaturepackError:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, struct.error) as error:
        raise CorruptData(
            f"the pickle is damaged or cut off: {error}",
            value=path.name,
            remedy="write it again with pickle.dump of a dict of numpy arrays",
        ) from error


def _arrays_of(found: Any) -> dict[str, npt.NDArray[Any]]:
    if not isinstance(found, dict):
        raise _no_arrays(f"a {type(found).__name__}, not a dict of arrays")
    arrays: dict[str, npt.NDArray[Any]] = {}
    for key, value in found.items():
        name = key.decode("latin-1") if isinstance(key, bytes) else key
        if isinstance(value, PickledArray):
            arrays[name] = value.finished()
        elif _is_flat_list(value, (int,)):
            arrays[name] = np.array(value, np.int64)
        elif _is_flat_list(value, (str, bytes)):
            texts = [item if isinstance(item, str) else item.decode() for item in value]
            if sum(map(len, texts)) * 100 < len(texts) * max(map(len, texts)):
                raise _no_arrays(f"a list of very unequal texts under {name!r}")
            arrays[name] = np.array(texts)
        elif value is not None and not isinstance(value, (str, bytes, int, float)):
            raise _no_arrays(f"a {type(value).__name__} under {name!r}")
    return arrays


def _is_flat_list(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, list) and bool(value) and all(type(item) in kinds for item in value)


def _no_arrays(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"the pickle holds {what}",
        value=what,
        remedy="write it with pickle.dump({'features': array, 'labels': array}, file)",
    )
