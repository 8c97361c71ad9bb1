"""What a failed read or write means: a fault that passes by itself, or one that stays."""

from __future__ import annotations

import errno
import re
from typing import Final

from cache.errors import Unavailable, Unreachable

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
PASSING: Final = (
    *FULL,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EAGAIN,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOLCK,
)


def unreadable(error: OSError) -> type[Unavailable]:
    """Which class a file that cannot be read is reported as."""
    return Unavailable if errno_of(error) in PASSING else Unreachable


def errno_of(error: OSError) -> int | None:
    """The system's error number; h5py says it in the message only."""
    if error.errno is not None:
        return error.errno
    found = re.search(r"errno = (\d+)", str(error))
    return int(found[1]) if found else None
