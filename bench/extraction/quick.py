"""A minute's answer: mobilenet_v2 against the naive loop and against its own forward limit.

All processes stay while it lasts, since starting torch so often would take most of the minute. The
naive loop gets the first images of those that ours gets, and no loader workers, which gain nothing
on few cores; rates are compared.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.extraction.compare import compared
from bench.extraction.contenders import Contenders
from bench.extraction.images import WARM, small_pngs, write_folders
from bench.extraction.rounds import standing
from bench.extraction.work import Work

OURS, NAIVE = 900, 64
ROUNDS = 3
SECONDS = 45.0
"""Rounds begin only if they are expected to be over by then."""


def quick(scratch: Path, archive: Path | None, weights: str, weights_dir: str | None) -> Any:
    """One piece of work as JSON; its ratios are those that the last line names."""
    images = small_pngs(archive, OURS + WARM)
    many, few = scratch / "images" / "quick", scratch / "images" / "few"
    write_folders(many, images)
    write_folders(few, images[: NAIVE + WARM])
    work = Work("quick", "mobilenet_v2", weights, weights_dir, "stretch", many, OURS)
    contenders = Contenders(scratch)
    starts = {
        **contenders.naive(replace(work, folder=few, images=NAIVE), workers=(0,)),
        **contenders.forward(work),
        **contenders.ours(work),
    }
    turns = standing(work.name, starts, seconds=SECONDS, at_least=ROUNDS)
    return compared({**work.told(), "images_naive": NAIVE}, turns, {})
