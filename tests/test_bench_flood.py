"""The bench of a flood: it runs, and tells what it is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import flood


def test_two_teams_are_measured_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "ROUNDS", 2)
    found = flood.measure(tmp_path, rows=2000, seconds=3.0, clients=6)
    assert found["errors"] == []
    assert found["clients"] == {"quiet": 1, "flood": 5}
    assert found["flood"].keys() <= flood.MIX.keys()
    assert found["small_reads"].keys() == {"quiet", "flooded"}
    assert 0 < found["p99_flooded_to_quiet"]["min"] <= found["p99_flooded_to_quiet"]["max"]
