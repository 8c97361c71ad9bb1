"""Studies as JSON models: cells, the labs' tables, an honest ranking."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from cache.identity import canonical_json
from cache.rows import StudyRow
from service.answers import is_private, utc
from service.paired import paired
from service.study_state import CellState, Seen, StudyState, progress_of, state_of


class CellAnswer(BaseModel):
    """One head of the study. What is not known yet, or no longer, is null.

    ``extraction_seconds`` are those of the pack's forward pass, which several taps share.
    """

    network: str
    tap: str
    dataset: str
    method: str
    params: dict[str, Any]
    subset: dict[str, Any] | None
    state: CellState
    progress: dict[str, Any]
    error: dict[str, Any] | None
    pack_id: str
    head_id: str | None
    job_id: str | None
    accuracy: float | None
    interval: list[float] | None = Field(description="95 %")
    train_rows: int | None
    validation_rows: int | None
    train_seconds: float | None
    extraction_seconds: float | None
    pack_bytes: int | None

    @classmethod
    def of(cls, seen: Seen) -> CellAnswer:
        cell, head, pack, job = seen.cell, seen.head, seen.pack, seen.job
        metrics = head.metrics if head else {}
        names = ("network", "tap", "dataset", "method", "params", "pack_id")
        return cls(
            **{name: cell[name] for name in names},
            subset=cell.get("subset"),
            state=seen.state,
            progress=job.progress if job and not head else {},
            error=job.error if job and not head else None,
            head_id=head.head_id if head else None,
            job_id=job.id if job and not head else None,
            accuracy=metrics.get("validation_accuracy"),
            interval=metrics.get("validation_interval"),
            train_rows=metrics.get("train_rows"),
            validation_rows=metrics.get("validation_rows"),
            train_seconds=metrics.get("seconds"),
            extraction_seconds=pack.provenance.get("seconds") if pack else None,
            pack_bytes=pack.bytes if pack else None,
        )


class TableEntry(BaseModel):
    """The best of a network's taps on a dataset: the choice makes its accuracy look a bit better
    than it is.
    """

    accuracy: float
    interval: list[float]
    tap: str
    head_id: str


class TableRow(BaseModel):
    network: str
    entries: list[TableEntry | None] = Field(description="one for each of the table's datasets")


class TableAnswer(BaseModel):
    """The labs' table, network × dataset, by one method."""

    method: str
    datasets: list[str]
    rows: list[TableRow]


class RankAnswer(BaseModel):
    """A place in the ranking.

    ``tie``: its 95 % interval overlaps with that of the best. ``p_value`` is McNemar's, against the
    best, on the same images; it is sharper than the intervals, and not corrected for there being
    several comparisons.
    """

    rank: int
    tie: bool
    network: str
    tap: str
    method: str
    head_id: str
    accuracy: float
    interval: list[float]
    p_value: float | None


class RankingAnswer(BaseModel):
    dataset: str
    places: list[RankAnswer]


class StudyBrief(BaseModel):
    object: Literal["study"] = "study"
    study_id: str
    kind: Literal["study", "advice"]
    state: StudyState
    progress: dict[str, Any]
    submitters: list[str] = Field(description="who wants it; its jobs are cancelled with the last")
    networks: list[str]
    datasets: list[str]
    methods: list[str]
    team: str | None
    private: bool = Field(description="others do not see it: it is about something private")
    created: datetime | None

    @classmethod
    def of(cls, row: StudyRow, seen: list[Seen]) -> StudyBrief:
        return cls(**_brief(row, seen))


class StudyAnswer(StudyBrief):
    """A study. Tables and ranking have the heads that are there, of whole training splits."""

    cells: list[CellAnswer]
    tables: list[TableAnswer]
    ranking: list[RankingAnswer]

    @classmethod
    def of(cls, row: StudyRow, seen: list[Seen]) -> StudyAnswer:
        names = _method_names(seen)
        whole = [one for one in seen if one.head is not None and "subset" not in one.cell]
        return cls(
            **_brief(row, seen),
            cells=[CellAnswer.of(one) for one in seen],
            tables=[_table(name, seen, whole, names) for name in dict.fromkeys(names.values())],
            ranking=[_ranking(dataset, whole, names) for dataset in _each("dataset", seen)],
        )


def _brief(row: StudyRow, seen: list[Seen]) -> dict[str, Any]:
    return {
        "study_id": row.study_id,
        "kind": row.kind,
        "state": state_of(seen),
        "progress": progress_of(seen),
        "submitters": list(row.submitters),
        "networks": _each("network", seen),
        "datasets": _each("dataset", seen),
        "methods": list(dict.fromkeys(_method_names(seen).values())),
        "team": row.team,
        "private": is_private(row),
        "created": utc(row.created),
    }


def _each(name: str, seen: Iterable[Seen]) -> list[str]:
    return list(dict.fromkeys(one.cell[name] for one in seen))


def _key(one: Seen) -> str:
    return canonical_json([one.cell["method"], one.cell["params"]]).decode()


def _method_names(seen: list[Seen]) -> dict[str, str]:
    """The methods' names, with what tells apart those that occur with several parameters."""
    params = {_key(one): (one.cell["method"], one.cell["params"]) for one in seen}
    names = {}
    for key, (method, given) in params.items():
        others = [other for name, other in params.values() if name == method]
        differ = [n for n in given if any(other.get(n) != given[n] for other in others)]
        extra = [f"{n}={canonical_json(given[n]).decode()}" for n in differ]
        names[key] = " ".join([method, *extra])
    return names


def _table(method: str, seen: list[Seen], whole: list[Seen], names: dict[str, str]) -> TableAnswer:
    mine = [one for one in whole if names[_key(one)] == method]
    datasets = _each("dataset", seen)
    rows = []
    for network in _each("network", seen):
        of_network = [one for one in mine if one.cell["network"] == network]
        entries = [
            _best([one for one in of_network if one.cell["dataset"] == dataset])
            for dataset in datasets
        ]
        rows.append(TableRow(network=network, entries=entries))
    return TableAnswer(method=method, datasets=datasets, rows=rows)


def _best(seen: list[Seen]) -> TableEntry | None:
    best = max(seen, key=lambda one: one.accuracy, default=None)
    if best is None or best.head is None:
        return None
    return TableEntry(
        accuracy=best.accuracy,
        interval=list(best.interval),
        tap=best.cell["tap"],
        head_id=best.head.head_id,
    )


def _ranking(dataset: str, whole: list[Seen], names: dict[str, str]) -> RankingAnswer:
    mine = [one for one in whole if one.cell["dataset"] == dataset]
    mine.sort(key=lambda one: -one.accuracy)
    places: list[RankAnswer] = []
    overlapping = [one for one in mine if one.interval[1] >= mine[0].interval[0]]
    for place, one in enumerate(mine):
        assert one.head is not None
        assert mine[0].head is not None
        compared = paired(mine[0].head, one.head) if place else None
        tie = one in overlapping and len(overlapping) > 1
        places.append(
            RankAnswer(
                rank=1 if tie else 1 + sum(other.accuracy > one.accuracy for other in mine),
                tie=tie,
                network=one.cell["network"],
                tap=one.cell["tap"],
                method=names[_key(one)],
                head_id=one.head.head_id,
                accuracy=one.accuracy,
                interval=list(one.interval),
                p_value=compared.p_value if compared else None,
            )
        )
    return RankingAnswer(dataset=dataset, places=places)
