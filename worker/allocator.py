"""A memory allocator that suits tensors.

By default glibc asks the kernel for every large block and gives it back when it is freed, so each
layer of a network faults its output in page by page, every time: the same network runs two to
eight times slower. These switches keep freed memory with the process. They are `mallopt(3)`'s and
apply to glibc alone; elsewhere nothing happens.
"""

from __future__ import annotations

import ctypes
import platform

# Parameter numbers from glibc's <malloc.h>.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_MAX = -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep freed blocks; True if it agreed."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    wishes = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    agreed = [mallopt(parameter, value) == 1 for parameter, value in wishes]
    return all(agreed)
