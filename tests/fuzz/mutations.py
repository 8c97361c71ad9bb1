"""Bytes → other bytes: what damage and malice do to files."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

LIES = (0, 1, 2, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1,
        2**40, 2**63 - 1, 2**64 - 1)  # fmt: skip
"""What a length field says when it does not tell the truth."""


def mutated(seed: bytes, others: Sequence[bytes], number: int) -> bytes:
    """``seed`` with one to four changes; ``others`` lend pieces. The same for the same number."""
    chance = random.Random(number)
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        if not data:
            break
        chance.choice(_CHANGES)(data, others, chance)
    return bytes(data)


def _flip_bits(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 8, 32))):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _set_byte(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    data[chance.randrange(len(data))] = chance.choice((0, 1, 32, 127, 128, 255))


def _lie(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    """Put a number where a length may be."""
    size = chance.choice((1, 2, 4, 4, 8))
    lie = chance.choice((*LIES, len(data) + chance.randint(-2, 2))) % 256**size
    at = chance.randrange(len(data))
    data[at : at + size] = lie.to_bytes(size, chance.choice(("little", "big")))


def _lie_in_digits(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    """The same, for headers that spell numbers out."""
    digits = [at for at in range(len(data)) if 48 <= data[at] <= 57]
    if digits:
        at = chance.choice(digits)
        data[at : at + chance.choice((0, 1))] = str(chance.choice(LIES)).encode()


def _cut(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def _drop(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(data))
    del data[at : at + chance.choice((1, 2, 4, 16, 512))]


def _repeat(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at, size = chance.randrange(len(data)), chance.choice((1, 4, 16, 64, 512, 4096))
    data[at:at] = data[at : at + size] * chance.choice((1, 1, 2, 100))


def _splice(data: bytearray, others: Sequence[bytes], chance: random.Random) -> None:
    """A piece of another file, over what stood there or between."""
    other = chance.choice(others)
    start, size = chance.randrange(len(other)), chance.choice((4, 16, 64, 512))
    at = chance.randrange(len(data))
    data[at : at + chance.choice((0, size))] = other[start : start + size]


def _zero(data: bytearray, _: Sequence[bytes], chance: random.Random) -> None:
    at, size = chance.randrange(len(data)), chance.choice((4, 16, 512))
    data[at : at + size] = bytes(len(data[at : at + size]))


_CHANGES: tuple[Callable[[bytearray, Sequence[bytes], random.Random], None], ...] = (
    _flip_bits, _flip_bits, _set_byte, _lie, _lie, _lie_in_digits, _cut, _drop, _repeat, _splice,
    _zero,
)  # fmt: skip
