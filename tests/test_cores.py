"""Threads by the cores that a worker was given, not by those that the machine has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker import cores
from worker.settings import WorkerSettings

BOUND = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", BOUND),
        ("100000 100000", 1),
        ("50000 100000", 1),
        ("99900000 100000", BOUND),
        ("", BOUND),
        ("nonsense 1", BOUND),
    ],
)
def test_a_containers_quota_counts(tmp_path: Path, text: str, expected: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(text)
    assert cores.cores_given(file) == expected


def test_without_a_quota_all_cores_count(tmp_path: Path) -> None:
    assert cores.cores_given(tmp_path / "nowhere") == BOUND


def test_a_fraction_of_a_core_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    file = tmp_path / "cpu.max"
    file.write_text("250000 100000")
    assert cores.cores_given(file) == 3


def test_the_setting_comes_first() -> None:
    assert WorkerSettings.from_env({"FEATUREPACK_THREADS": "7"}).threads == 7
    assert WorkerSettings.from_env({}).threads == cores.cores_given()
