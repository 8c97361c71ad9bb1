"""Which rows of a pack a request means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cache.errors import InvalidRequest, NotFound, TooLarge
from cache.pack import Pack
from service.encode import Rows

MAX_LISTED_ROWS = 100_000


@dataclass(frozen=True)
class Selection:
    """``start`` and ``stop`` count within ``split`` where one is named, else within the pack."""

    split: str | None = None
    start: int | None = None
    stop: int | None = None
    label: str | None = None

    def rows(self, pack: Pack) -> Rows:
        """Row numbers within the pack, ascending.

        Raises:
            NotFound: no such split or label.
            InvalidRequest: start after stop, or rows that are not there.
        """
        first, last = self._split_span(pack)
        length = last - first
        start = 0 if self.start is None else self.start
        stop = length if self.stop is None else self.stop
        if start > stop:
            raise InvalidRequest(
                f"start {start} is after stop {stop}",
                value={"start": start, "stop": stop},
                remedy="use start <= stop",
            )
        if start < 0 or stop > length:
            where = f"split {self.split!r}" if self.split is not None else "the pack"
            raise InvalidRequest(
                f"rows {start} to {stop} are out of range: {where} has {length} rows",
                value={"start": start, "stop": stop},
                remedy=f"use 0 <= start <= stop <= {length}",
            )
        rows = range(first + start, first + stop)
        return rows if self.label is None else self._labelled(pack, rows, self.label)

    def _split_span(self, pack: Pack) -> tuple[int, int]:
        if self.split is None:
            return 0, len(pack)
        if self.split not in pack.splits:
            raise NotFound(
                f"no split {self.split!r} in this pack",
                value=self.split,
                remedy=f"use one of: {', '.join(pack.splits)}",
            )
        return pack.splits[self.split]

    @staticmethod
    def _labelled(pack: Pack, rows: range, label: str) -> npt.NDArray[np.int64]:
        """A label is a class's name, or its number where no class has that name."""
        if label in pack.classes:
            number = pack.classes.index(label)
        elif label.isdecimal() and int(label) < len(pack.classes):
            number = int(label)
        else:
            few = ", ".join(pack.classes[:20])
            raise NotFound(
                f"no class {label!r} in this pack", value=label, remedy=f"use one of: {few}"
            )
        (within_N,) = np.nonzero(pack.labels_N[rows.start : rows.stop] == number)
        return within_N + rows.start


def listed(pack: Pack, rows: list[int]) -> npt.NDArray[np.int64]:
    """Rows by number, in the given order, repeats allowed.

    Raises:
        TooLarge: more than 100,000 rows.
        InvalidRequest: a row that is not there.
    """
    if len(rows) > MAX_LISTED_ROWS:
        raise TooLarge(
            f"{len(rows)} rows are listed",
            value=len(rows),
            remedy=f"list at most {MAX_LISTED_ROWS} rows a request",
        )
    for row in rows:
        if not 0 <= row < len(pack):
            raise InvalidRequest(
                f"row {row} is out of range: the pack has {len(pack)} rows",
                value=row,
                remedy=f"use rows 0 to {len(pack) - 1}",
            )
    return np.asarray(rows, np.int64)
