"""Signs of life: every few seconds a worker tells the database what it is and does."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

import torch

from cache.errors import Unavailable
from cache.signs import DeviceMemory, LaneSign
from worker.context import Context
from worker.tasks import LANES

log = logging.getLogger("featurepack.worker")

HEARTBEAT_SECONDS: Final = 5.0


def tell_until_stopped(context: Context) -> None:
    """Tell now and every five seconds, until ``context.stop`` is set."""
    while not context.stop.is_set():
        try:
            tell(context)
        except Unavailable as error:
            log.warning("%s", error.message)
        context.stop.wait(HEARTBEAT_SECONDS)


def tell(context: Context) -> None:
    """One sign of life. Raises Unavailable."""
    settings, activity = context.settings, context.activity
    context.catalogue.worker_seen(
        settings.name,
        context.device,
        context.machine,
        settings.max_pack_bytes,
        {name: LaneSign(list(kinds), activity.idle_seconds(name)) for name, kinds in LANES.items()},
        device_memory(context.devices),
    )


def device_memory(devices: Sequence[torch.device]) -> list[DeviceMemory]:
    """The GPUs' memory as the driver knows it; nothing where it does not tell.

    Asked through NVML, because asking CUDA would make this process take half a gigabyte of each
    GPU that only its helpers use.
    """
    found = []
    for device in devices:
        if device.type == "cuda":
            try:
                used = torch.cuda.device_memory_used(device)
            except Exception as error:  # of NVML, whose errors have no common class of torch's
                log.debug("%s does not tell its memory: %s", device, error)
                continue
            total = torch.cuda.get_device_properties(device).total_memory
            found.append(DeviceMemory(str(device), used, total))
    return found
