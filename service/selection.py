"""Which rows of a pack a request means.

Each part narrows what the one before left: split → start, stop, step within it → listed rows →
label → valid → sample. Shapes: M rows selected so far.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cache.errors import FeaturepackError, InvalidRequest, NotFound, TooLarge
from cache.pack import Pack
from service.reading import Rows, numbers

MAX_LISTED_ROWS = 100_000
QUICK_ROWS = 1000


@dataclass(frozen=True)
class Selection:
    """``start`` and ``stop`` count within ``split`` where one is named, else within the pack.

    ``label`` keeps rows of any of these classes, ``valid`` those whose image could be decoded,
    ``sample`` so many of the rest, drawn by ``seed``. ``row`` lists row numbers or ``row_id`` ids;
    then the listed rows that pass everything else are meant, in the order of the list.
    """

    split: str | None = None
    start: int | None = None
    stop: int | None = None
    step: int = 1
    label: tuple[str, ...] = ()
    valid: bool = False
    sample: int | None = None
    seed: int = 0
    row: tuple[int, ...] | None = None
    row_id: tuple[str, ...] | None = None

    @property
    def is_quick(self) -> bool:
        """Whether finding its rows takes a few microseconds, however large the pack is."""
        narrowed = self.label or self.valid or self.sample is not None
        few = self.row_id is None and len(self.row or ()) <= QUICK_ROWS
        return few and not narrowed

    def rows(self, pack: Pack) -> Rows:
        """Row numbers within the pack, ascending or in the order of the list.

        Raises:
            NotFound: no such split, label or row id.
            InvalidRequest: start after stop, rows that are not there, a sample of more than there
                are, two lists.
            TooLarge: more than 100,000 rows are listed.
        """
        span = self._span(pack)
        rows: Rows = span
        if self.row is not None or self.row_id is not None:
            listed = self._listed(pack)
            rows = listed if span == range(len(pack)) else _within(span, listed)
        if self.label:
            wanted = [_class_number(pack, label) for label in self.label]
            row_M = numbers(rows)
            rows = row_M[np.isin(pack.labels_N[row_M], wanted)]
        if self.valid:
            row_M = numbers(rows)
            rows = row_M[pack.valid_N[row_M]]
        return rows if self.sample is None else _drawn(rows, self.sample, self.seed)

    def _span(self, pack: Pack) -> range:
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
        return range(first + start, first + stop, self.step)

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

    def _listed(self, pack: Pack) -> npt.NDArray[np.int64]:
        if self.row is not None and self.row_id is not None:
            raise InvalidRequest(
                "both rows and row_id are listed", value=None, remedy="list one of them"
            )
        listed = self.row if self.row is not None else self.row_id or ()
        if len(listed) > MAX_LISTED_ROWS:
            raise TooLarge(
                f"{len(listed)} rows are listed",
                value=len(listed),
                remedy=f"list at most {MAX_LISTED_ROWS} rows a request",
            )
        if self.row is not None:
            return _checked(pack, self.row)
        return np.fromiter(_found(pack, self.row_id or ()), np.int64, len(listed))


def _checked(pack: Pack, rows: tuple[int, ...]) -> npt.NDArray[np.int64]:
    if rows and not (min(rows) >= 0 and max(rows) < len(pack)):
        wrong = next(row for row in rows if not 0 <= row < len(pack))
        raise InvalidRequest(
            f"row {wrong} is out of range: the pack has {len(pack)} rows",
            value=wrong,
            remedy=f"use rows 0 to {len(pack) - 1}",
        )
    return np.asarray(rows, np.int64)


def _found(pack: Pack, row_ids: tuple[str, ...]) -> Iterable[int]:
    for row_id in row_ids:
        row = pack.row_of.get(row_id)
        if row is None:
            raise NotFound(
                f"no row {row_id!r} in this pack",
                value=row_id,
                remedy="GET …/index lists the rows with their ids",
            )
        yield row


def _within(span: range, row_M: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Those of the rows that are in the span, in their order."""
    inside = (row_M >= span.start) & (row_M < span.stop) & ((row_M - span.start) % span.step == 0)
    kept: npt.NDArray[np.int64] = row_M[inside]
    return kept


def _class_number(pack: Pack, label: str) -> int:
    """A label is a class's name, or its number where no class has that name."""
    if label in pack.classes:
        return pack.classes.index(label)
    if label.isdecimal() and len(label) < 10 and int(label) < len(pack.classes):
        return int(label)
    few = ", ".join(pack.classes[:20])
    raise NotFound(f"no class {label!r} in this pack", value=label, remedy=f"use one of: {few}")


def _drawn(rows: Rows, count: int, seed: int) -> npt.NDArray[np.int64]:
    """``count`` of the rows in their order, each at most once.

    The places with the lowest marks are drawn, and marks follow from the place and the seed alone:
    no random number generator whose next version draws others.
    """
    if count > len(rows):
        raise _too_few(len(rows), count)
    place_M = np.arange(len(rows), dtype=np.uint64)
    mark_M = _mixed(_mixed(np.full(1, seed, np.uint64)) + place_M)
    return numbers(rows)[np.sort(np.argsort(mark_M)[:count])]


def _too_few(there: int, wanted: int) -> FeaturepackError:
    return InvalidRequest(
        f"a sample of {wanted} is wanted of {there} rows",
        value=wanted,
        remedy=f"use a sample of at most {there}",
    )


def _mixed(value_M: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea, Flood 2014): distinct values stay distinct."""
    mixed = (value_M + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
