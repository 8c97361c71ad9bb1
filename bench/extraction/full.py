"""Everything: real and large images, two networks, both numerics, and what size costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.extraction.compare import compared
from bench.extraction.contenders import Contenders
from bench.extraction.images import WARM, mosaics, small_pngs, write_folders
from bench.extraction.rounds import fresh, say
from bench.extraction.scaling import scaling
from bench.extraction.work import Preset, Work

SMALL, LARGE, FEW = 2000, 1000, 300
FAST = ("cifar-stretch", "resnet50")
"""Where ``fast`` takes part as well."""


@dataclass(frozen=True)
class Options:
    """``thingsvision`` is its interpreter, ``only`` the names of the work to be done."""

    rounds: int
    archive: Path | None
    weights: str
    weights_dir: str | None
    thingsvision: Path
    only: Sequence[str]


def full(scratch: Path, options: Options) -> dict[str, Any]:
    """``work`` (one entry for each piece) and ``scaling`` as JSON."""
    done = []
    for name in options.only:
        if name in WORK:
            say(f"{name}: writing images")
            work = WORK[name](name, scratch / name / "images", options)
            done.append(_one(Contenders(scratch / name), work, options))
    sizes = scaling(scratch / ARRAYS) if ARRAYS in options.only else []
    return {"work": done, "scaling": sizes}


def _cifar(preset: Preset, name: str, images: Path, options: Options) -> Work:
    write_folders(images, small_pngs(options.archive, SMALL + WARM))
    return _mobilenet(name, preset, images, SMALL, options)


def _jpeg(name: str, images: Path, options: Options) -> Work:
    write_folders(images, mosaics(small_pngs(options.archive, SMALL), LARGE + WARM))
    return _mobilenet(name, "official", images, LARGE, options)


def _mobilenet(name: str, preset: Preset, images: Path, count: int, options: Options) -> Work:
    weights = options.weights, options.weights_dir
    return Work(name, "mobilenet_v2", *weights, preset, images, count)


def _resnet50(name: str, images: Path, options: Options) -> Work:
    write_folders(images, small_pngs(options.archive, FEW + WARM))
    return Work(name, "resnet50", "random:0", None, "stretch", images, FEW)


WORK: Mapping[str, Callable[[str, Path, Options], Work]] = {
    "cifar-stretch": partial(_cifar, "stretch"),
    "cifar-official": partial(_cifar, "official"),
    "jpeg-official": _jpeg,
    "resnet50": _resnet50,
}
ARRAYS = "arrays"
"""What more rows cost; its contender is ours alone."""


def _one(contenders: Contenders, work: Work, options: Options) -> dict[str, Any]:
    starts = {**contenders.naive(work), **contenders.naive_kept(work)}
    skipped = {}
    if options.thingsvision.is_file():
        starts |= contenders.thingsvision(work, options.thingsvision)
    else:
        skipped["thingsvision"] = f"{options.thingsvision} is missing: make bench-thingsvision"
        say(f"{work.name}: thingsvision is skipped, {skipped['thingsvision']}")
    starts |= contenders.ours(work) | contenders.forward(work)
    starts |= contenders.ours(work, "ours_cold", warm=False)
    if work.name in FAST:
        starts |= contenders.ours(work.fast, "ours_fast")
        starts |= contenders.forward(work.fast, "forward_fast")
    return compared(work.told(), fresh(work.name, starts, options.rounds), skipped)
