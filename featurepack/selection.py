"""Which rows of a pack are meant: the same words over the wire and on a pack that is here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from featurepack.answers import Pack
from featurepack.errors import InvalidRequest, NotFound

Label = str | int
Numbers = Sequence[int] | npt.NDArray[np.integer[Any]]
Chosen = slice | npt.NDArray[np.int64]
"""Rows of a pack: a slice where that can say it, so that a view will do; else their numbers."""


class Which(TypedDict, total=False):
    """Which rows; several at once narrow down one after the other, in this order.

    ``rows`` (numbers within the pack) or ``row_id`` (ids): these rows, in this order, repeats
    allowed; what follows keeps those of them that pass. ``start``, ``stop``, ``step`` count within
    the split if one is given, else within the pack. ``label``: a class's name, or its number where
    no class has that name, or several of them: rows of any. ``valid=True``: only rows whose image
    could be decoded. ``sample``: so many of them, drawn by ``seed`` (default 0), in their order.
    """

    start: int | None
    stop: int | None
    step: int | None
    label: Label | Sequence[Label] | None
    valid: bool | None
    sample: int | None
    seed: int
    rows: Numbers | None
    row_id: Sequence[str] | None


@dataclass(frozen=True)
class Selection:
    """A value of :class:`Which`, with the split. Raises InvalidRequest for a contradiction."""

    split: str | None = None
    start: int | None = None
    stop: int | None = None
    step: int | None = None
    label: Label | Sequence[Label] | None = None
    valid: bool | None = None
    sample: int | None = None
    seed: int = 0
    rows: Numbers | None = None
    row_id: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.row_id is not None:
            raise InvalidRequest("rows and row_id are both given", remedy="give one of them")

    @property
    def labels(self) -> list[str]:
        """The labels as the service wants them."""
        if self.label is None:
            return []
        several = [self.label] if isinstance(self.label, str | int) else self.label
        return [str(label) for label in several]

    @property
    def listed(self) -> list[int] | list[str] | None:
        """The rows that are listed, by number or by id."""
        if self.rows is not None:
            return [int(row) for row in self.rows]
        return None if self.row_id is None else list(self.row_id)

    @property
    def is_plain(self) -> bool:
        """Whether it is a run of rows, so that a broken transfer can go on in it."""
        return not (self.labels or self.valid or self._is_sampled or self.listed is not None)

    @property
    def is_span(self) -> bool:
        """Whether it is a whole split, or the whole pack."""
        return self.is_plain and (self.start, self.stop, self.step) == (None, None, None)

    @property
    def _is_sampled(self) -> bool:
        return self.sample is not None

    def parameters(self) -> dict[str, Any]:
        """As a query or a JSON body says it, without the lists of rows."""
        given = {
            "split": self.split,
            "start": self.start,
            "stop": self.stop,
            "step": self.step,
            "label": self.labels or None,
            "valid": True if self.valid else None,
            "sample": self.sample,
            "seed": self.seed if self._is_sampled else None,
        }
        return {name: value for name, value in given.items() if value is not None}

    def at_most(self, pack: Pack) -> float:
        """How many rows it may take, without a look at them; classes count as equally large."""
        first, last = pack.splits.get(self.split, [0, 0]) if self.split else (0, pack.rows)
        part = slice(self.start, self.stop, max(1, self.step or 1))
        count: float = len(range(last - first)[part])
        if self.listed is not None:
            count = len(self.listed)
        if self.labels:
            count *= min(1.0, len(self.labels) / max(1, len(pack.classes)))
        return count if self.sample is None else min(count, self.sample)

    def of(
        self,
        pack: Pack,
        labels_N: npt.NDArray[np.int64],
        valid_N: npt.NDArray[Any],
        row_ids: Callable[[], Sequence[str]],
    ) -> Chosen:
        """The rows of a pack that is here, exactly as the service would choose them.

        ``row_ids`` is called for the ids of all its rows where they are needed.

        Raises:
            NotFound: no such split, class or row id.
            InvalidRequest: rows that are not there; a sample of more rows than there are.
        """
        span = self._span(pack)
        if self.is_plain:
            return slice(span.start, span.stop, span.step)
        rows_N = np.arange(span.start, span.stop, span.step, dtype=np.int64)
        if self.listed is not None:
            listed_N = self._listed_rows(pack, row_ids)
            rows_N = listed_N[np.isin(listed_N, rows_N)]
        if self.labels:
            numbers = [_class_number(pack, label) for label in self.labels]
            rows_N = rows_N[np.isin(labels_N[rows_N], numbers)]
        if self.valid:
            rows_N = rows_N[valid_N[rows_N] != 0]
        return rows_N if self.sample is None else _drawn(rows_N, self.sample, self.seed)

    def numbers(self, count: int) -> npt.NDArray[np.int64]:
        """``rows`` of a pack that has so many of them. Raises InvalidRequest."""
        rows_N = np.array(self.listed, np.int64)
        wrong_N = rows_N[(rows_N < 0) | (rows_N >= count)]
        if len(wrong_N):
            raise InvalidRequest(
                f"row {wrong_N[0]} is out of range: the pack has {count} rows",
                value=int(wrong_N[0]),
                remedy=f"use rows 0 to {count - 1}",
            )
        return rows_N

    def _span(self, pack: Pack) -> range:
        if self.split is not None and self.split not in pack.splits:
            raise NotFound(
                f"no split {self.split!r} in this pack",
                value=self.split,
                remedy=f"use one of: {', '.join(pack.splits)}",
            )
        first, last = (0, pack.rows) if self.split is None else pack.splits[self.split]
        start = 0 if self.start is None else self.start
        stop = last - first if self.stop is None else self.stop
        step = 1 if self.step is None else self.step
        if not (0 <= start <= stop <= last - first and step >= 1):
            raise InvalidRequest(
                f"rows {start} to {stop} by {step} are not in {last - first} rows",
                value={"start": start, "stop": stop, "step": step},
                remedy=f"use 0 <= start <= stop <= {last - first} and step >= 1",
            )
        return range(first + start, first + stop, step)

    def _listed_rows(
        self, pack: Pack, row_ids: Callable[[], Sequence[str]]
    ) -> npt.NDArray[np.int64]:
        if self.row_id is None:
            return self.numbers(pack.rows)
        place = {name: row for row, name in enumerate(row_ids())}
        missing = [name for name in self.row_id if name not in place]
        if missing:
            raise NotFound(
                f"no row {missing[0]!r} in this pack",
                value=missing[0],
                remedy="use ids that the pack's index lists",
            )
        return np.array([place[name] for name in self.row_id], np.int64)


def _class_number(pack: Pack, label: str) -> int:
    if label in pack.classes:
        return pack.classes.index(label)
    if label.isdecimal() and int(label) < len(pack.classes):
        return int(label)
    raise NotFound(
        f"no class {label!r} in this pack",
        value=label,
        remedy=f"use one of: {', '.join(pack.classes[:20])}",
    )


def _drawn(rows_N: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """So many of the rows, in the order that they have, drawn as the service draws them.

    The places with the lowest marks are drawn; marks follow from the place and the seed alone.
    """
    if not (0 <= count <= len(rows_N) and 0 <= seed < 1 << 63):
        raise InvalidRequest(
            f"a sample of {count} is wanted of {len(rows_N)} rows, by seed {seed}",
            value={"sample": count, "seed": seed},
            remedy=f"use a sample of at most {len(rows_N)}, and a seed from 0",
        )
    places_N = np.arange(len(rows_N), dtype=np.uint64)
    marks_N = _mixed(np.add(_mixed(np.array([seed], np.uint64)), places_N, dtype=np.uint64))
    return rows_N[np.sort(np.argsort(marks_N)[:count])]


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64: 64 bits to 64 others, one to one."""
    values = (values + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
