"""Studies and advice, as the service answers them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from featurepack.answers import Answer


@dataclass(frozen=True)
class Cell(Answer):
    """One head of a study; None is what is not known yet, or no longer.

    ``state`` is queued, extracting, training, succeeded, failed (``error`` says why), cancelled, or
    missing (its head was deleted). ``extraction_seconds`` are of the forward pass that made the
    pack, which several taps share.
    """

    network: str
    tap: str
    dataset: str
    method: str
    params: dict[str, Any]
    subset: dict[str, Any] | None
    state: str
    error: dict[str, Any] | None
    pack_id: str
    head_id: str | None
    job_id: str | None
    accuracy: float | None
    interval: list[float] | None
    train_rows: int | None
    validation_rows: int | None
    train_seconds: float | None
    extraction_seconds: float | None
    pack_bytes: int | None


@dataclass(frozen=True)
class Place(Answer):
    """A head's place on a dataset. ``tie``: its 95 % interval overlaps with that of the best.

    ``p_value`` is McNemar's against the best, on the same images.
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


@dataclass(frozen=True)
class Ranking(Answer):
    dataset: str
    places: list[Place]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        return super().of({**data, "places": [Place.of(one) for one in data["places"]]})


@dataclass(frozen=True)
class StudyBrief(Answer):
    """What is compared and how far it is: running, succeeded, failed, cancelled or missing."""

    study_id: str
    kind: str
    state: str
    progress: dict[str, Any]
    submitters: list[str]
    networks: list[str]
    datasets: list[str]
    methods: list[str]
    created: datetime | None

    @property
    def is_final(self) -> bool:
        return self.state != "running"


@dataclass(frozen=True)
class Study(StudyBrief):
    """A study with its cells and rankings; ``tables`` are the labs', one for each method."""

    cells: list[Cell]
    tables: list[dict[str, Any]]
    ranking: list[Ranking]
    text: str = field(default="", repr=False)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        return super().of(
            {
                **data,
                "cells": [Cell.of(one) for one in data["cells"]],
                "ranking": [Ranking.of(one) for one in data["ranking"]],
            }
        )

    def table(self) -> list[dict[str, Any]]:
        """A row for each method and network: ``method``, ``network``, and each dataset's accuracy
        (None where it is not there), of the best tap. ``pandas.DataFrame(study.table())`` is all.
        """
        return [
            {"method": table["method"], "network": row["network"]}
            | {
                dataset: entry and entry["accuracy"]
                for dataset, entry in zip(table["datasets"], row["entries"], strict=True)
            }
            for table in self.tables
            for row in table["rows"]
        ]

    def markdown(self) -> str:
        """Tables, rankings and what failed, as Markdown."""
        return self.text


@dataclass(frozen=True)
class Advice(Answer):
    """Figures and what follows from them.

    ``layers`` are from early to late, with ``tap``, ``accuracy``, ``interval`` and ``over_last``;
    ``curve`` has the last layer with parts of train; ``doubling`` is what the last doubling of
    train gained (``points``, ``low``, ``high``). ``case`` has ``size``, ``likeness``,
    ``more_data_helps``, ``best_tap`` and what to ``do``.
    """

    advice_id: str
    state: str
    progress: dict[str, Any]
    network: str
    dataset: str
    layers: list[dict[str, Any]]
    curve: list[dict[str, Any]]
    doubling: dict[str, float] | None
    case: dict[str, Any] | None
    words: list[str]
    error: dict[str, Any] | None
    text: str = field(default="", repr=False)

    @property
    def is_final(self) -> bool:
        return self.state != "running"

    def table(self) -> list[dict[str, Any]]:
        """The layers, then the curve: ``tap``, ``share`` of train, ``accuracy``."""
        last = self.layers[-1]["tap"] if self.layers else None
        return [
            *(
                {"tap": one["tap"], "share": 1.0, "accuracy": one["accuracy"]}
                for one in self.layers
            ),
            *(
                {"tap": last, "share": one["share"], "accuracy": one["accuracy"]}
                for one in self.curve
                if one["share"] < 1
            ),
        ]

    def markdown(self) -> str:
        """Figures, then words, as Markdown."""
        return self.text
