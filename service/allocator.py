"""A memory allocator that suits pieces of answers.

By default glibc gives threads heaps of their own. Pieces are allocated by the thread that reads
them and freed by the one that sends them, so that every heap keeps room for as many as ever were
on their way. With one heap the service's memory stays where it is under load. The switch is
`mallopt(3)`'s and applies to glibc alone; elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import platform

_M_ARENA_MAX = -8  # from glibc's <malloc.h>


def one_heap() -> None:
    """Tell glibc to have one heap; to be called before there are threads."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
