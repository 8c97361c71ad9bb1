"""Studies in the catalogue, on both databases; and how two heads are compared."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from cache.catalogue import Catalogue
from cache.database import Database
from cache.errors import Conflict, NotFound
from cache.rows import HeadRow, StudyRow
from cache.sight import EVERYTHING
from cache.studies import Studies
from service.paired import Paired, paired
from service.study_answers import StudyAnswer
from service.study_state import Seen

ROW = StudyRow("s", "study", [{"pack_id": "r-d"}], {})


def head(name: str, right: list[int], rows: str = "h", pack_id: str = "r-d") -> HeadRow:
    bits = np.packbits(np.array(right, bool)).tobytes().hex()
    metrics: dict[str, Any] = {
        "validation_accuracy": sum(right) / len(right),
        "validation_interval": [0.1, 1 / 3],
        "validation_rows": len(right),
        "validation_right": {"rows": rows, "bits": bits},
        "train_rows": 9,
        "seconds": 1 / 7,
        "curves": [1] * 1000,
    }
    return HeadRow(name, pack_id, "linear", {"seed": 0}, metrics)


def test_a_study_is_kept_once_and_knows_who_wants_it(database: Database) -> None:
    studies = Studies(database)
    with database.write() as connection:
        studies.join(connection, ROW, "ann")
        studies.join(connection, ROW, "bob")
        studies.join(connection, ROW, "ann")
    kept = studies.find("s", EVERYTHING)
    assert (kept.cells, list(kept.submitters)) == (ROW.cells, ["ann", "bob"])
    assert [row.study_id for row in studies.page(EVERYTHING).items] == ["s"]
    with database.write() as connection:
        with pytest.raises(Conflict, match="'eve' is not among those who want study s: ann, bob"):
            studies.leave(connection, "s", "eve", force=False)
        assert studies.leave(connection, "s", "ann", force=False) is False
        assert studies.leave(connection, "s", "bob", force=False) is True
        assert studies.leave(connection, "s", "bob", force=False) is True
        with pytest.raises(NotFound):
            studies.leave(connection, "nope", None, force=True)


def test_heads_come_newest_first_with_what_is_compared_alone(database: Database) -> None:
    catalogue, studies = Catalogue(database), Studies(database)
    for name in ("old", "new"):
        with database.write() as connection:
            catalogue.add_head(connection, head(name, [1, 1, 0]))
    found = studies.evidence(["r-d", "gone"], ["head:x"])
    assert [one.head_id for one in found.heads["r-d"]] == ["new", "old"]
    metrics = found.heads["r-d"][0].metrics
    assert metrics.pop("validation_right") == {"rows": "h", "bits": "c0"}
    assert metrics == {
        "validation_accuracy": 2 / 3,
        "validation_interval": [0.1, 1 / 3],
        "validation_rows": 3,
        "train_rows": 9,
        "seconds": 1 / 7,
    }
    assert (found.packs, found.jobs) == ({}, {})


def test_two_heads_are_compared_image_by_image() -> None:
    one, other = head("a", [1, 1, 1, 0, 0]), head("b", [0, 0, 1, 1, 0])
    compared = paired(one, other)
    assert compared == Paired(gained=2, lost=1, images=5)
    assert compared.difference == pytest.approx(0.2)
    differences = np.array([1, 1, 0, -1, 0])
    assert compared.error == pytest.approx(differences.std() / math.sqrt(5))
    assert paired(one, head("b", [1] * 5, rows="other rows")) is None
    assert paired(one, head("b", [1] * 5, pack_id="r-e")) is None


@pytest.mark.parametrize(
    ("gained", "lost", "p"),
    [(0, 0, 1.0), (1, 0, 1.0), (6, 0, 2 / 64), (3, 3, 1.0), (8, 2, 2 * 56 / 1024)],
)
def test_mcnemar_is_exact(gained: int, lost: int, p: float) -> None:
    assert Paired(gained, lost, 100).p_value == pytest.approx(p)
    assert Paired(lost, gained, 100).p_value == pytest.approx(p)


@pytest.mark.parametrize(
    ("accuracies", "ranks", "ties"),
    [
        ([0.80, 0.90, 0.88, 0.80], [1, 1, 3, 3], [True, True, False, False]),
        ([0.80, 0.90], [1, 2], [False, False]),
        ([0.90], [1], [False]),
        ([], [], []),
    ],
)
def test_overlapping_intervals_are_ties(
    accuracies: list[float], ranks: list[int], ties: list[bool]
) -> None:
    """Intervals are a point and a half to each side, so two points apart they overlap."""
    study = StudyAnswer.of(ROW, [seen(number, one) for number, one in enumerate(accuracies)])
    places = study.ranking[0].places if study.ranking else []
    assert [place.accuracy for place in places] == sorted(accuracies, reverse=True)
    assert [place.rank for place in places] == ranks
    assert [place.tie for place in places] == ties


def test_parts_of_train_do_not_compete_and_the_best_tap_is_named() -> None:
    cells = [
        seen(0, 0.7, tap="a"),
        seen(1, 0.9, tap="b"),
        seen(2, 0.99, tap="b", subset={"share": 0.5, "draw": 0}),
    ]
    study = StudyAnswer.of(ROW, cells)
    assert [place.tap for place in study.ranking[0].places] == ["b", "a"]
    (row,) = study.tables[0].rows
    assert row.entries[0] is not None
    assert (row.entries[0].tap, row.entries[0].accuracy) == ("b", 0.9)
    assert len(study.cells) == 3


def seen(number: int, accuracy: float, tap: str = "x", **more: Any) -> Seen:
    metrics = {
        "validation_accuracy": accuracy,
        "validation_interval": [accuracy - 0.015, accuracy + 0.015],
        "validation_rows": 100,
    }
    cell = {
        "network": "n",
        "tap": tap,
        "dataset": "d@1",
        "method": "linear",
        "params": {},
        "pack_id": "r-d",
    } | more
    return Seen(cell, "succeeded", HeadRow(str(number), "r-d", "linear", {}, metrics), None, None)
