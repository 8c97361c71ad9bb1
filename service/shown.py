"""The offending value as an answer shows it: enough to be recognised, whatever it was.

A value comes from whoever made the mistake. It may be megabytes, nested as deep as a parser goes,
not Unicode, or no number that JSON has.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import Any, Final

from fastapi.encoders import jsonable_encoder

MAX_TEXT: Final = 1000
MAX_ITEMS: Final = 100
MAX_DEPTH: Final = 8


def shown(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The value as JSON can hold it, cut where it is long, wide or deep; cuts are marked by "…".

    NaN and infinity become text.
    """
    if isinstance(value, bytes):
        value = value[: MAX_TEXT + 1].decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return short(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict | list | tuple | set | frozenset):
        return _some(value, depth)
    return shown(jsonable_encoder(value), depth) if depth else "…"


def short(text: str, length: int = MAX_TEXT) -> str:
    return text if len(text) <= length else text[:length] + "…"


def _some(value: Any, depth: int) -> Any:
    if not depth:
        return "…"
    if isinstance(value, dict):
        items = islice(value.items(), MAX_ITEMS)
        found = {short(str(key)): shown(each, depth - 1) for key, each in items}
        return found if len(value) <= MAX_ITEMS else found | {"…": len(value) - MAX_ITEMS}
    few = [shown(each, depth - 1) for each in islice(value, MAX_ITEMS)]
    return few if len(value) <= MAX_ITEMS else [*few, "…"]
