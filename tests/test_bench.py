"""The bench of extraction: its arithmetic, its images, and that both sides compute the same."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bench.extraction import images
from bench.extraction.__main__ import headline
from bench.extraction.compare import compared, ratio, spread
from bench.extraction.machine import machine
from bench.extraction.memory import peak_bytes, tree
from bench.extraction.naive import extract, load_network, user_transform
from bench.extraction.plot import plot
from bench.extraction.program import ProgramFailed, program
from bench.extraction.report import show
from bench.extraction.rounds import fresh, standing
from bench.extraction.scaling import memory_ratio
from bench.extraction.turn import Contender, Start, Turn
from bench.extraction.work import Work
from cache import networks, pack
from cache.store import Store
from tests.working import build, recipe_of, register, working

MIB = 1 << 20


def turn(images_per_second: float, packs: float | None = None) -> Turn:
    facts = {} if packs is None else {"images_per_second": packs}
    return Turn(100, 100 / images_per_second, 1.0, None, 5 * MIB, facts)


def turns_of(name: str, *rates: float) -> dict[str, list[Turn]]:
    return {name: [turn(rate) for rate in rates]}


def test_a_spread_is_median_and_extremes() -> None:
    assert spread([3.0, 1.0, 2.00004]) == {"median": 2.0, "min": 1.0, "max": 3.0}


def test_a_ratio_is_that_of_medians_and_its_spread_that_of_rounds() -> None:
    assert ratio([10, 40, 20], [1, 2, 5]) == {"median": 10.0, "min": 4.0, "max": 20.0}


def test_the_faster_number_of_workers_is_the_naive_loop() -> None:
    turns = {
        **turns_of("naive_0_workers", 10, 10, 10),
        **turns_of("naive_2_workers", 20, 25, 90),
        "ours": [turn(100, 150), turn(200, 300), turn(50, 75)],
        **turns_of("forward", 300, 400, 300),
    }
    result = compared({"network": "mobilenet_v2", "name": "quick"}, turns, {})
    assert result["ratios"]["ours_vs_naive"] == {"median": 4.0, "min": 0.5556, "max": 8.0}
    # Extraction proper, as the pack tells it, is what the forward limit bounds.
    assert result["ratios"]["ours_fraction_of_forward"]["median"] == 0.5
    assert headline({"work": [result]}) == {
        "mobilenet_v2_vs_naive": 4.0,
        "fraction_of_forward": 0.5,
        "of": "quick",
    }


def test_fast_is_held_against_its_own_forward_limit() -> None:
    turns = {
        **turns_of("naive_0_workers", 10),
        **turns_of("naive_2_workers", 5),
        **turns_of("naive_kept_0_workers", 20),
        **turns_of("naive_kept_2_workers", 40),
        **turns_of("thingsvision", 16),
        "ours": [turn(80, 90)],
        "ours_fast": [turn(160, 180)],
        **turns_of("forward", 100),
        **turns_of("forward_fast", 200),
    }
    ratios = compared({}, turns, {})["ratios"]
    assert {name: value["median"] for name, value in ratios.items()} == {
        "ours_vs_naive": 8.0,
        "ours_vs_naive_kept": 2.0,
        "ours_vs_thingsvision": 5.0,
        "ours_fraction_of_forward": 0.9,
        "ours_fast_vs_naive": 16.0,
        "ours_fast_vs_naive_kept": 4.0,
        "ours_fast_vs_thingsvision": 10.0,
        "ours_fast_fraction_of_forward": 0.9,
    }


def test_results_are_json_and_can_be_shown() -> None:
    turns = {
        **turns_of("naive_0_workers", 10, 10),
        **turns_of("naive_2_workers", 12, 12),
        "ours": [turn(100, 110), turn(100, 110)],
    }
    told = {"name": "a", "network": "mobilenet_v2", "preset": "stretch"}
    result = compared(told, turns, {"thingsvision": "missing"})
    assert set(result["contenders"]["ours"]) == {
        "images",
        "images_per_second",
        "seconds",
        "seconds_with_start",
        "first_row_seconds",
        "peak_mib",
        "turns",
    }
    assert result["contenders"]["ours"]["seconds_with_start"]["median"] == 2.0
    console = Console(file=io.StringIO(), width=110, record=True)
    show(console, {"work": [result], **json.loads(json.dumps(machine()))})
    text = console.export_text()
    assert "ours_vs_naive: 8.333 (8.333 to 8.333)" in text
    assert "thingsvision was skipped: missing" in text


def test_a_plot_has_a_panel_for_each_work(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    turns = {
        **turns_of("naive_0_workers", 10, 10),
        **turns_of("naive_2_workers", 12, 13),
        "ours": [turn(100, 110), turn(120, 110)],
    }
    told = {"name": "a", "network": "mobilenet_v2", "preset": "stretch"}
    one = compared(told, turns, {})
    assert plot({"work": [one, one]}, tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as image:
        width, height = image.size
    assert width > 2 * height


def test_memory_of_more_rows_is_a_ratio() -> None:
    sizes = [{"rows": 2, "peak_mib": 100}, {"rows": 40, "peak_mib": 110}]
    assert memory_ratio(sizes, 2, 40) == 1.1
    assert memory_ratio(sizes, 2, 80) is None


class Noted:
    """A contender that writes down when it is started and when it is its turn."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes
        notes.append(f"+{name}")

    def turn(self) -> Turn:
        self._notes.append(self._name)
        return turn(1)


def noted(notes: list[str]) -> dict[str, Start]:
    def start_of(name: str) -> Start:
        def start() -> AbstractContextManager[Contender]:
            return nullcontext(Noted(name, notes))

        return start

    return {name: start_of(name) for name in "AB"}


def test_fresh_contenders_take_turns_and_are_alone() -> None:
    notes: list[str] = []
    turns = fresh("test", noted(notes), 2)
    assert notes == ["+A", "A", "+B", "B", "+A", "A", "+B", "B"]
    assert [len(of) for of in turns.values()] == [2, 2]


def test_standing_contenders_have_the_least_rounds_even_without_time() -> None:
    notes: list[str] = []
    standing("test", noted(notes), seconds=0.0, at_least=3)
    assert notes == ["+A", "+B", *"ABABAB"]


def test_the_same_small_images_every_time_all_different() -> None:
    made = images.small_pngs(None, 12)
    assert made == images.small_pngs(None, 12)
    assert len({data for _, data in made}) == 12
    assert {Image.open(io.BytesIO(data)).size for _, data in made} == {(32, 32)}


def test_small_images_of_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("train/cat/7.png", b"one")
        archive.writestr("README", b"none")
        archive.writestr("validation/dog/7.png", b"two")
    found = images.small_pngs(tmp_path / "a.zip", 2)
    assert found == [("cat/00000.png", b"one"), ("dog/00001.png", b"two")]
    with pytest.raises(ValueError, match="2 images, 3 are needed"):
        images.small_pngs(tmp_path / "a.zip", 3)


def test_mosaics_are_jpegs_of_a_photographs_size_the_same_every_time() -> None:
    small = images.small_pngs(None, 20)
    made = images.mosaics(small, 3)
    assert made == images.mosaics(small, 3)
    assert len({data for _, data in made}) == 3
    for name, data in made:
        image = Image.open(io.BytesIO(data))
        assert (image.format, image.size) == ("JPEG", (500, 375))
        assert name.endswith(".jpg")
        assert 45_000 < len(data) < 70_000


def test_warm_images_are_none_of_the_measured(tmp_path: Path) -> None:
    made = images.small_pngs(None, images.WARM + 5)
    images.write_folders(tmp_path / "a", made)
    work = Work("a", "resnet18", "random:0", None, "stretch", tmp_path / "a", 5)
    measured = {path.read_bytes() for path in work.folder.rglob("*.png")}
    warm = {path.read_bytes() for path in work.warm_folder.rglob("*.png")}
    assert len(measured) == 5
    assert len(warm) == images.WARM
    assert not measured & warm


def test_memory_is_that_of_the_whole_tree() -> None:
    hold = "b = bytearray(64 << 20); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert set(tree(os.getpid())) >= {os.getpid(), child.pid}
        assert peak_bytes(child.pid) > 64 * MIB
        assert peak_bytes(os.getpid()) > 64 * MIB + peak_bytes(child.pid)
        child.communicate(b"\n")
    assert peak_bytes(child.pid) == 0


def test_a_program_that_ends_says_why(tmp_path: Path) -> None:
    with (
        pytest.raises(ProgramFailed, match="KeyError: 'keep_freed_memory'"),
        program(sys.executable, "bench.extraction.naive", {"wrong": 1}, tmp_path / "a"),
    ):
        pass


@pytest.mark.parametrize("preset", ["stretch", "official"])
def test_both_sides_compute_the_same(store: Store, tmp_path: Path, preset: str) -> None:
    """Otherwise their times could not be compared."""
    assert store.data_root is not None
    folder = store.data_root / "mixed"
    small = images.small_pngs(None, 4 + images.WARM)
    images.write_folders(folder, small)
    for name, data in images.mosaics(small, 2, seed=1):
        (folder / name).write_bytes(data)

    network = load_network("mobilenet_v2", "random:0", None)
    transform: Any = user_transform("mobilenet_v2", "random:0", preset)
    told = extract(network, transform, str(folder), 0, tmp_path / "naive.npy")
    theirs_ND = np.load(tmp_path / "naive.npy")
    assert told["images"] == len(theirs_ND) == 6

    info = networks.get("mobilenet_v2")
    chosen = {"stretch": networks.stretch_transform, "official": networks.official_transform}
    recipe = recipe_of("mobilenet_v2", transform=chosen[preset](info))
    with working(store) as context:
        (job,) = build(context, register(store, folder), recipe)
    assert job.state == "succeeded", job.error
    ours_ND = np.array(pack.open_pack(store.pack(job.spec["pack_id"])).features)
    error_N = np.abs(ours_ND - theirs_ND).max(1) / np.abs(theirs_ND).max(1)
    assert error_N.max() < 1e-4
