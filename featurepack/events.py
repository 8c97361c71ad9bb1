"""Server-sent events: bytes → lines → events, as the WHATWG's HTML standard has them.

Ids and ``retry`` are left out: a stream of ours begins with the present state, so a new connection
needs nothing of an old one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import httpx

MEDIA_TYPE: Final = "text/event-stream"

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class Event:
    """A whole event; ``name`` is ``message`` where the stream gives none."""

    name: str
    data: str


def is_event_stream(response: httpx.Response) -> bool:
    """Whether an answer says that it is one."""
    kind: str = response.headers.get("Content-Type", "")
    return kind.partition(";")[0].strip().lower() == MEDIA_TYPE


def events_of(pieces: Iterable[bytes]) -> Iterator[Event]:
    """Events in a stream that comes in pieces. One that ends without a blank line is dropped."""
    name = ""
    data: list[str] = []
    for line in _lines(pieces):
        field, _, value = line.partition(":")  # a comment is a line whose field has no name
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line:
            if data:
                yield Event(name or "message", "\n".join(data))
            name, data = "", []


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """Whole lines without their ends: LF, CR or CRLF, and nothing else that Unicode breaks at.

    A CR ends its line at once, since the LF that may belong to it may be long in coming.
    """
    rest, after_cr, first = b"", False, True
    for piece in pieces:
        if not piece:
            continue
        new = piece[1:] if after_cr and piece.startswith(b"\n") else piece
        after_cr = piece.endswith(b"\r")
        *whole, rest = _LINE_END.split(rest + new)
        for line in whole:
            text = line.decode(errors="replace")
            yield text.removeprefix(_BYTE_ORDER_MARK) if first else text
            first = False
