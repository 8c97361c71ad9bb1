"""Where a pack comes from: versions, machine, engine, seconds."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from worker.context import Context
from worker.engine import Engine
from worker.tally import Tally

PACKAGES = ("featurepack", "torch", "torchvision", "pillow", "numpy", "h5py")


def provenance(context: Context, engine: Engine, tally: Tally) -> dict[str, Any]:
    """Facts about the run that made a pack; none of them takes part in its identity."""
    return {
        "versions": {"python": platform.python_version()} | _versions(),
        "device": _device_name(context.device),
        "engine": engine.name,
        "batch": engine.batch,
        "threads": context.settings.threads,
        "worker": context.settings.name,
        "rows_computed": tally.computed,
        "images_per_second": round(tally.rate, 2),
    } | tally.timers()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.processor() or platform.machine()}"
