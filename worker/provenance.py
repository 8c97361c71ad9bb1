"""Where a pack comes from: versions, machine, engine, seconds."""

from __future__ import annotations

import platform
from typing import Any

from worker.context import Context
from worker.devices import device_names
from worker.sharing import Loaded
from worker.tally import Tally
from worker.versions import installed

PACKAGES = ("featurepack", "torch", "torchvision", "pillow", "numpy", "h5py")


def provenance(context: Context, engine: Loaded | None, tally: Tally) -> dict[str, Any]:
    """Facts about the run that made a pack; none of them takes part in its identity.

    ``engine`` is None where no row had to be computed.
    """
    return {
        "versions": {"python": platform.python_version()} | installed(PACKAGES),
        "device": device_names(context.devices),
        "machine": context.machine,
        "engine": engine.name if engine else None,
        "batch": engine.batch if engine else None,
        "threads": context.settings.threads,
        "worker": context.settings.name,
        "images_per_second": round(tally.rate, 2) if tally.computed else None,
    } | tally.timers()
