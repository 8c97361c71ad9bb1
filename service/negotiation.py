"""Which format an answer gets, by ``?format=`` or ``Accept``, and which ``Accept-Encoding``."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, Literal

from pydantic import JsonValue

from cache.errors import InvalidRequest

Format = Literal["raw", "npy", "arrow", "npz", "safetensors", "json", "csv", "markdown"]
Coding = Literal["zstd", "gzip"]

MEDIA_TYPES: Final[dict[Format, str]] = {
    "raw": "application/octet-stream",
    "npy": "application/x-npy",
    "arrow": "application/vnd.apache.arrow.stream",
    "npz": "application/x-npz",
    "safetensors": "application/x-safetensors",
    "json": "application/json",
    "csv": "text/csv",
    "markdown": "text/markdown",
}
CODINGS: Final[tuple[Coding, ...]] = ("zstd", "gzip")

_WEIGHT = re.compile(r"q\s*=\s*([01](?:\.[0-9]{0,3})?)", re.IGNORECASE)


def told(*names: Format) -> dict[str, JsonValue]:
    """What OpenAPI says of ``?format=``; which of them a call knows is checked when it is known
    whether ``Accept`` decides.
    """
    return {"enum": [*names]}


def chosen_format(given: str | None, accept: str | None, offered: Iterable[Format]) -> Format:
    """``?format=`` if it is given, else what ``Accept`` likes best, of equals the first.

    Raises:
        InvalidRequest: nothing that is offered will do.
    """
    names = list(offered)
    if given is not None:
        for name in names:
            if given == name:
                return name
        raise InvalidRequest(
            f"format is {given!r}", value=given, remedy=f"use one of: {', '.join(names)}"
        )
    wanted = _weighted(accept or "*/*")
    liking, best = max(
        ((_liking(MEDIA_TYPES[name], wanted), name) for name in names), key=lambda pair: pair[0]
    )
    if not liking[0]:
        types = ", ".join(MEDIA_TYPES[name] for name in names)
        raise InvalidRequest(f"Accept is {accept!r}", value=accept, remedy=f"accept {types}")
    return best


def _liking(media_type: str, wanted: list[tuple[str, float]]) -> tuple[float, int, int]:
    """The weight of the most specific range that fits, how specific it is, and how early."""
    kind = media_type.partition("/")[0]
    for specific, name in ((2, media_type), (1, f"{kind}/*"), (0, "*/*")):
        for place, (given, weight) in enumerate(wanted):
            if given == name:
                return weight, specific, -place
    return 0.0, 0, 0


def chosen_coding(accept_encoding: str | None) -> Coding | None:
    """The coding for those who ask for one, by a header that names only codings we have.

    What libraries send by themselves names deflate or br as well: features hardly shrink, and to
    compress them costs many times what the transfer does.
    """
    weights = dict(_weighted(accept_encoding or ""))
    if weights.pop("identity", 0.0) or not weights.keys() <= set(CODINGS):
        return None
    best = max(CODINGS, key=lambda coding: weights.get(coding, 0.0))
    return best if weights.get(best) else None


def _weighted(header: str) -> list[tuple[str, float]]:
    """The members of a list header and their weights, 1 where none is given."""
    found = []
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [match[1] for piece in parameters if (match := _WEIGHT.fullmatch(piece))]
        if name:
            found.append((name.lower(), float(weights[0]) if weights else 1.0))
    return found
