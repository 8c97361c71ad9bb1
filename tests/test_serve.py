"""``featurepack serve``: child processes that start, are watched, and end together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from featurepack import InvalidRequest
from featurepack.processes import ChildEnded, Children, url_of, usable_port

ROOT = Path(__file__).parents[1]


@pytest.fixture
def sleeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that runs until SIGTERM; with an argument it ends with that status."""
    package = tmp_path / "fp_sleeper"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys, time\nprint('up', flush=True)\n"
        "sys.exit(int(sys.argv[1])) if sys.argv[1:] else time.sleep(60)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    return "fp_sleeper"


def test_children_end_with_the_block(sleeper: str, tmp_path: Path) -> None:
    with Children({}, logs=tmp_path) as children:
        children.start(sleeper)
        children.check()
        children.start(sleeper, "3")
        first, second = children.all
        assert second.process.wait(10) == 3
        assert second.tail() == "up"
        with pytest.raises(ChildEnded, match="fp_sleeper ended with status 3"):
            children.check()
    assert first.process.returncode == -signal.SIGTERM


def test_a_module_that_is_not_installed_is_named() -> None:
    with pytest.raises(InvalidRequest, match="fp_nothing is not installed"):
        Children({}).start("fp_nothing")


def test_ports_and_addresses() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InvalidRequest, match="cannot be used"):
            usable_port("127.0.0.1", port)
    assert usable_port("127.0.0.1", 0) > 1023
    assert url_of("0.0.0.0", 80) == "http://127.0.0.1:80"
    assert url_of("::1", 80) == "http://[::1]:80"


@pytest.mark.parametrize("how", ["asked", "child died"])
def test_serve_starts_answers_and_ends(how: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "featurepack.cli.main", "serve", "--port", "0", "--store"]
    (tmp_path / "service").mkdir()  # must not be taken for ours
    (tmp_path / "service" / "__main__.py").write_text("raise SystemExit(9)")
    with subprocess.Popen(
        [*command, "store"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        url = line.removeprefix("Featurepack is at ").partition(";")[0]
        assert httpx.get(f"{url}/healthz", trust_env=False).is_success
        children = Path(f"/proc/{serving.pid}/task/{serving.pid}/children").read_text().split()
        os.kill(serving.pid if how == "asked" else int(children[0]), signal.SIGTERM)
        _, err = serving.communicate(timeout=30)
    assert serving.returncode == (0 if how == "asked" else 1)
    assert ("the service ended with status" in err) == (how != "asked")
    assert not Path(f"/proc/{children[0]}").exists()
    assert (tmp_path / "store" / "featurepack.db").exists()
