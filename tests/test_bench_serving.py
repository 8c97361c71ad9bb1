"""The bench of serving: its arithmetic, that all give the same bytes, and that it cleans up."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from bench.serving import latency, material, whole
from bench.serving.__main__ import headline
from bench.serving.compare import latency as milliseconds
from bench.serving.compare import percentile, ratio
from bench.serving.contenders import expected, scattered, sliced, small
from bench.serving.generator import Loaded, load, weighed
from bench.serving.material import Material, NoRoom, check_room, checksum, make
from bench.serving.measuring import serving
from bench.serving.memory import Memory, Watched, memory
from bench.serving.plain import Refused, checked, connect, read
from bench.serving.plan import QUICK, Plan
from bench.serving.plot import plot
from bench.serving.report import show
from bench.serving.rounds import by_turns
from bench.serving.running import Server, ServerFailed, Spec, started
from bench.serving.servers import FILE_RESPONSE, H5GROVE, NGINX, OURS, TILED, Places
from bench.serving.soak import summary
from cache import pack
from featurepack.processes import usable_port

ROOT = Path(__file__).parents[1]
TINY = replace(QUICK, rows=300, width=16, slice_rows=64, scattered_rows=20, seconds=2.0)
NOWHERE = Path("/nowhere/at/all")
NOBODY = Places(NOWHERE, NOWHERE, NOWHERE)
MIB = 1 << 20


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(200, 0, -1)]
    assert percentile(values, 0.99) == 198.0
    assert percentile(values, 0.5) == 100.0
    assert percentile([3.0], 0.99) == 3.0


def test_a_ratio_is_that_of_all_values_and_its_spread_that_of_common_rounds() -> None:
    ours, nginx = [[1.0, 3.0], [2.0], [4.0]], [[1.0], [4.0]]
    # Medians 2.5 and 2.5; rounds 2 / 1 and 2 / 4; in the third nginx took no part.
    assert ratio(ours, nginx) == {"median": 1.0, "min": 0.5, "max": 2.0}


def test_latencies_are_milliseconds() -> None:
    found = milliseconds([[0.001] * 98, [0.5, 0.002]])
    assert (found["requests"], found["p50_ms"], found["p99_ms"]) == (100, 1.0, 2.0)
    assert (found["min_ms"], found["max_ms"]) == (1.0, 500.0)


def test_turns_go_round_and_the_slow_drop_out() -> None:
    notes: list[str] = []

    def turn(name: str, seconds: float) -> list[float]:
        notes.append(name)
        time.sleep(seconds)
        return [seconds]

    turns = {"a": lambda: turn("a", 0.03), "slow": lambda: turn("slow", 0.2)}
    found = by_turns("test", turns, 0.2)
    assert notes[:3] == ["a", "slow", "a"]
    assert found["slow"] == [[0.2]]
    assert len(found["a"]) > 1


def test_a_plans_shares_are_its_seconds() -> None:
    shares = ("whole", "slice", "scattered", "crowd", "soak")
    plan = Plan(seconds=300, rows=1, crowd_rounds=1)
    assert sum(getattr(plan, f"{share}_seconds") for share in shares) == pytest.approx(300)
    assert plan.soak_seconds == pytest.approx(60)


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="set TMPDIR to a larger disk"):
        make(tmp_path, replace(TINY, rows=1 << 40))
    assert not list(tmp_path.iterdir())
    check_room(tmp_path, TINY)


def test_the_soaks_summary_tells_small_requests_and_moments_of_memory() -> None:
    told = {
        "seconds": {"small": [0.001] * 98 + [0.004] * 2, "whole": []},
        "bytes": 3_000_000,
        "elapsed": 2.0,
        "errors": ["small: gone"],
        "error_count": 1,
        "refused": 7,
    }
    samples = [Memory(n * MIB, n * MIB // 2) for n in (10, 40, 20)]
    found = summary(Loaded(told, samples, Memory(40 * MIB, 20 * MIB)), Memory(12 * MIB, 6 * MIB))
    assert found["small_p99_to_p50"] == 4.0
    assert found["mb_per_second"] == 1.5
    assert (found["error_count"], found["refused"]) == (1, 7)
    assert set(found["sizes"]) == {"small"}
    assert [found["memory"][m]["rss_mib"] for m in ("start", "middle", "end", "rest", "peak")] == [
        10.0,
        40.0,
        20.0,
        12.0,
        40.0,
    ]


def test_memory_tells_mapped_pages_from_anonymous_ones(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 32 * MIB)
    code = (
        "import mmap; f = open('file', 'rb'); m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ);"
        "s = sum(m[i] for i in range(0, len(m), 4096)); b = bytearray(b'y') * (64 << 20);"
        "print(flush=True); input()"
    )
    with (
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as child,
        Watched(child.pid) as watched,
    ):
        assert child.stdout is not None
        child.stdout.readline()
        found = memory(child.pid)
        assert found.anonymous > 64 * MIB
        assert found.resident - found.anonymous > 32 * MIB
        time.sleep(0.3)
        child.communicate(b"\n")
    assert watched.peak.anonymous > 64 * MIB
    assert memory(child.pid) == Memory(0, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return make(tmp_path_factory.mktemp("bench"), TINY)


@pytest.fixture(scope="module")
def told() -> dict[str, str]:
    """Why some servers are not there."""
    return {}


@pytest.fixture(scope="module")
def servers(
    made: Material, told: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Server]]:
    """All that are installed on this machine."""
    with serving(made, tmp_path_factory.mktemp("servers"), Places(), told) as running:
        yield running


def test_the_pack_is_a_sound_one(made: Material) -> None:
    opened = pack.open_pack(made.pack)
    assert opened.failed_shards() == []
    assert opened.has_sound_rows()
    features_ND = np.array(opened.features)
    assert features_ND.shape == (300, 16)
    assert made.checksum == checksum(features_ND) != 0
    slice_ND = np.fromfile(made.files / material.SLICE, np.float32).reshape(-1, 16)
    assert np.array_equal(slice_ND, features_ND[slice(*made.span)])
    assert len(slice_ND) == 64


def test_all_give_the_same_bytes(
    made: Material, servers: dict[str, Server], told: dict[str, str]
) -> None:
    assert {OURS, FILE_RESPONSE} <= servers.keys()
    assert servers.keys() | told.keys() == {OURS, NGINX, FILE_RESPONSE, H5GROVE, TILED}
    rows = expected(made)
    works = {
        "slice": {n: a for n, a in sliced(made).items() if n != "ours_arrow"},
        "scattered": scattered(made),
    }
    for work, asks in works.items():
        for ask in asks.values():
            if ask.server in servers:
                with connect(servers[ask.server]) as http:
                    size = checked(http, ask, rows[work])
                    data = read(http, ask, size).tobytes()
                assert np.array_equal(ask.decode(data), rows[work]), ask
    with connect(servers[OURS]) as http:
        assert checked(http, small(made), made.features_ND[made.small_R]) == 10 * 16 * 4


def test_who_answers_other_rows_is_skipped(made: Material, servers: dict[str, Server]) -> None:
    others_ND = expected(made)["slice"] + 1
    found = latency.measure("slice", sliced(made), others_ND, servers, 0.0)
    assert found["contenders"] == {}
    assert "other rows" in found["skipped"]["ours_raw"]
    with connect(servers[OURS]) as http, pytest.raises(Refused, match="in place of 7"):
        read(http, sliced(made)["ours_raw"], 7)


def test_the_whole_pack_is_read_and_compared(made: Material, servers: dict[str, Server]) -> None:
    found = whole.measure(made, servers, 0.2)
    assert {"client", "ours_file", "ours_features", FILE_RESPONSE} <= found["contenders"].keys()
    wrong = replace(made, checksum=made.checksum + 1)
    with pytest.raises(Refused, match="not those of the pack"):
        whole.measure(wrong, servers, 0.0)


def test_clients_are_checked_and_counted(made: Material, servers: dict[str, Server]) -> None:
    rows_ND = expected(made)["slice"]
    good = weighed("good", sliced(made)["ours_raw"], rows_ND)
    bad = replace(good, name="bad", head=b"other")
    long = replace(good, name="long", length=good.length + 1)
    loaded = load(servers[OURS], [good, bad, long], 2, 0.5)
    assert loaded.told["seconds"]["good"]
    assert loaded.told["seconds"]["bad"] == loaded.told["seconds"]["long"] == []
    assert loaded.told["bytes"] == len(loaded.told["seconds"]["good"]) * rows_ND.nbytes
    assert loaded.told["error_count"] >= len(loaded.told["errors"]) > 0
    assert loaded.peak.resident > loaded.peak.anonymous > MIB


def test_a_server_that_ends_says_why(tmp_path: Path) -> None:
    port = usable_port("127.0.0.1", 0)
    command = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    spec = Spec("broken", command, {}, port, "/", "")
    with (
        started(spec, tmp_path / "log") as process,
        pytest.raises(ServerFailed, match="no such thing"),
    ):
        process.wait()


def test_who_is_missing_is_told(made: Material, tmp_path: Path) -> None:
    skipped: dict[str, str] = {}
    with serving(made, tmp_path, NOBODY, skipped) as running:
        assert running.keys() == {OURS, FILE_RESPONSE}
    assert "apt-get install nginx-light" in skipped[NGINX]
    assert "make bench-serving-peers" in skipped[H5GROVE]
    assert "make bench-serving-peers" in skipped[TILED]
    assert all(str(NOWHERE) in why for why in skipped.values())


def command(temporary: Path, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """A short run without others than ours and FileResponse, with its files in ``temporary``."""
    none = [f"--{name}={NOWHERE}" for name in ("nginx", "h5grove", "tiled")]
    quick = ["--quick", "--rows=1024", *none, *arguments]
    environment = os.environ | {"TMPDIR": str(temporary)}
    return [sys.executable, "-m", "bench.serving", *quick], environment


def test_the_whole_program(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    words, environment = command(temporary, "--seconds=2", "--clients", "1", "3")
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    for name in ("client_vs_nginx", "slice_vs_nginx", "scattered_vs_nginx"):
        assert result[name] is None  # there is no nginx
    assert result["skipped"].keys() == {NGINX, H5GROVE, TILED}
    assert result["soak_errors"] == 0, result["soak"]
    assert result["soak"]["sizes"]["small"]["requests"] > 0
    assert [of["error_count"] for of in result["crowd"]] == [0] * len(result["crowd"])
    assert {of["clients"] for of in result["crowd"]} == {1, 3}
    assert result["pack"]["slice_bytes"] == 1024 * 2048 * 4
    assert result["client_vs_nginx"] is headline(result)["client_vs_nginx"]
    assert "nginx was skipped" in done.stdout
    assert not list(temporary.iterdir())
    console = Console(file=io.StringIO(), width=110, record=True)
    show(console, result)
    assert "ours_json" in console.export_text()
    pytest.importorskip("matplotlib")
    assert plot(result, tmp_path / "p.png")
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_an_interrupted_run_ends_its_servers(tmp_path: Path) -> None:
    words, environment = command(tmp_path, "--seconds=60")
    with subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        lines = iter(running.stderr.readline, b"")
        assert any(line.startswith(b"serving: ") for line in lines)
        theirs = [pid for pid in pids_with(str(tmp_path)) if pid != running.pid]
        assert len(theirs) >= 2
        running.send_signal(signal.SIGTERM)
        running.stderr.read()
        assert running.wait(30) != 0
    assert pids_with(str(tmp_path)) == []
    assert not list(tmp_path.iterdir())


def pids_with(folder: str) -> list[int]:
    """Processes whose temporary files are in ``folder``."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                environment = (process / "environ").read_bytes()
            except OSError:
                continue
            if f"TMPDIR={folder}".encode() in environment.split(b"\0"):
                found.append(int(process.name))
    return found
