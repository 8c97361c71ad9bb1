"""Pieces → compressed pieces, at the levels that cost the least time."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import zstandard

from service.negotiation import Coding
from service.reading import Buffer

_GZIP = 16 + zlib.MAX_WBITS


def compressed(pieces: Iterator[Buffer], coding: Coding) -> Iterator[Buffer]:
    """The same bytes as one zstd frame or gzip member."""
    packer: Any
    if coding == "zstd":
        packer = zstandard.ZstdCompressor(level=1).compressobj()
    else:
        packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        if packed := packer.compress(piece):
            yield packed
    yield packer.flush()
