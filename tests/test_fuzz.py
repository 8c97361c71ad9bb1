"""Files changed at random: nothing crashes, hangs, leaks, or touches what is not the store's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.fuzz.readers import contents
from tests.fuzz.running import run
from tests.fuzz.seeds import SEEDS

FILES = int(os.environ.get("FEATUREPACK_FUZZ", "150"))
LEAK_BYTES = 64 << 20
ADMITTED = ("crashes: SIGSEGV", "crashes: SIGABRT", "crashes: SIGFPE", "crashes: SIGBUS", "hangs")
"""What HDF5 may do: its readers are a process of their own (worker/apart.py)."""


@pytest.mark.parametrize("kind", SEEDS)
def test_changed_files_are_taken_or_refused(kind: str, tmp_path: Path) -> None:
    decoy = tmp_path / "decoy"
    for name in ("a/b.txt", "c.txt"):
        (decoy / name).parent.mkdir(parents=True, exist_ok=True)
        (decoy / name).write_text(name)
    before = contents(decoy)
    report = run(kind, FILES, tmp_path / "work")
    print(f"\n{kind}: {report}")
    findings = report.findings
    if kind == "hdf5":
        native = {n: text for n, text in findings.items() if text in ADMITTED}
        print(f"HDF5 itself: {native}")
        findings = {n: text for n, text in findings.items() if n not in native}
    assert not findings, "\n".join(f"{n}: {text}" for n, text in list(findings.items())[:10])
    assert report.grown_bytes < LEAK_BYTES
    assert report.outcomes["taken"], "every file was refused, even the seeds"
    assert contents(decoy) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["decoy", "work"]
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["store"]
