"""The lines that a page offers to copy do what they say, as they stand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.browser.furnished import Furnished
from tests.browser.looking import Looking


@pytest.fixture
def url(rooms: Furnished) -> str:
    return rooms.url


def ran(folder: Path, *command: str) -> str:
    """What a command says that ran well in a folder, with our command in its path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_packs_lines_load_it(looking: Looking, rooms: Furnished, tmp_path: Path) -> None:
    page = looking.page
    pack_id = rooms.pack["pack_id"]
    looking.open(f"/packs/{pack_id}", "squeezenet1_1 on birds")
    lines: dict[str, str] = {}
    for name in ("curl", "Python", "torch", "h5py"):
        page.get_by_role("tab", name=name).click()
        lines[name] = page.get_by_label(f"Load with {name}", exact=True).inner_text()
    looking.picture("lines")

    ran(tmp_path, "bash", "-ec", lines["curl"])
    assert (tmp_path / f"{pack_id}.h5").stat().st_size == rooms.pack["bytes"]
    assert np.load(tmp_path / "train.npy").shape == (120, 512)
    told = f"{lines['Python']}\nprint(X.shape, y.shape)"
    assert ran(tmp_path, sys.executable, "-c", told) == "(120, 512) (120,)\n"
    told = f"{lines['torch']}\nX, y = next(iter(loader))\nprint(tuple(X.shape), y.dtype)"
    assert ran(tmp_path, sys.executable, "-W", "error", "-c", told) == "(120, 512) torch.int64\n"
    told = f"{lines['h5py']}\nprint(features.shape)"
    assert ran(tmp_path, sys.executable, "-c", told) == "(180, 512)\n"
