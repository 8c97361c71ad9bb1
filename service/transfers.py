"""How many answers with rows or files are on their way at once.

Large ones and small ones are counted apart, and large ones are read from the disk by a few threads
of their own, so that however many large ones there are, a small one is answered at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from anyio import CapacityLimiter

from cache.errors import Busy

LARGE_BYTES = 1 << 20
"""What is larger counts as large."""

READERS = 4
"""Threads that read pieces of large answers: enough to keep a disk busy."""


class Transfers:
    """The places there are. To be used on the event loop only."""

    def __init__(self, large: int, small: int) -> None:
        self._places = {True: large, False: small}
        self._taken = {True: 0, False: 0}
        self._readers = CapacityLimiter(READERS)

    @contextmanager
    def place(self, large: bool) -> Iterator[CapacityLimiter | None]:
        """Take a place while the block sends; the limit of threads that it reads in, if any.

        Raises:
            Busy: all places are taken.
        """
        if self._taken[large] >= self._places[large]:
            what = "large" if large else "small"
            raise Busy(
                f"{self._places[large]} {what} answers are being sent already",
                value=self._places[large],
                remedy="try again after the seconds that Retry-After says; the operator sets "
                f"FEATUREPACK_{what.upper()}_TRANSFERS",
            )
        self._taken[large] += 1
        try:
            yield self._readers if large else None
        finally:
            self._taken[large] -= 1
