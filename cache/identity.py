"""Hashes that name things: recipes, datasets, images, shards, files.

Content that decides identity is hashed with BLAKE2b (RFC 7693), which resists deliberate
collisions. Shards and whole files are checked against accidents with XXH3-128, which is about
twenty-five times faster (36 against 1.4 GB/s measured on one core).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

DIGEST_BYTES = 16
SHARD_HASH_ALGORITHM = "xxh3-128"


def canonical_json(value: Any) -> bytes:
    """One spelling for one value: sorted keys, no white space, ASCII only, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("ascii")


def blake2b_hex(data: bytes) -> str:
    """BLAKE2b-128 as 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).hexdigest()


def hash_file_bytes(data: bytes | memoryview) -> bytes:
    """Content hash (16 bytes) of an encoded image file."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def hash_pixels(pixels_HWC: npt.NDArray[np.uint8]) -> bytes:
    """Content hash (16 bytes) of raw pixels; shape and dtype take part.

    The ``person`` parameter keeps raw pixels apart from files of the same bytes.
    """
    shape = ",".join(map(str, pixels_HWC.shape)).encode()
    state = hashlib.blake2b(digest_size=DIGEST_BYTES, person=b"raw uint8")
    state.update(shape + b"\0")
    state.update(np.ascontiguousarray(pixels_HWC).data)
    return state.digest()


def hash_shard(data: bytes | memoryview) -> bytes:
    """XXH3-128 (16 bytes, big-endian as the xxHash specification prints it)."""
    return xxhash.xxh3_128_digest(data)


def hash_file(path: Path, piece_bytes: int = 4 << 20) -> str:
    """XXH3-128 of a whole file as 32 hexadecimal digits: the strong ETag of a pack."""
    state = xxhash.xxh3_128()
    with path.open("rb") as file:
        while piece := file.read(piece_bytes):
            state.update(piece)
    return state.hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file as 64 hexadecimal digits: how weights are named."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
