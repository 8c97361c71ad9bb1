"""What computes."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch

from cache.errors import InvalidRequest


def choose_devices(wanted: str) -> tuple[torch.device, ...]:
    """The devices of ``cpu``, ``cuda``, ``cuda:1`` or a list such as ``cuda:0,cuda:2``.

    ``auto`` is every GPU, or the CPU where there is none.

    Raises:
        InvalidRequest: no such device, or devices of different kinds.
    """
    gpus = torch.cuda.device_count()
    if wanted == "auto":
        wanted = ",".join(f"cuda:{n}" for n in range(gpus)) or "cpu"
    devices = tuple(_device(name.strip(), gpus) for name in wanted.split(","))
    if len({device.type for device in devices}) > 1:
        raise InvalidRequest(
            f"FEATUREPACK_DEVICE names devices of different kinds: {wanted!r}",
            value=wanted,
            remedy="start a worker for each kind: their rows differ in the last bits",
        )
    return devices


def _device(name: str, gpus: int) -> torch.device:
    numbers = {"cuda": 0} | {f"cuda:{n}": n for n in range(gpus)}
    if name != "cpu" and numbers.get(name, gpus) >= gpus:
        raise InvalidRequest(
            f"FEATUREPACK_DEVICE names {name!r}; this machine has {gpus} GPUs",
            value=name,
            remedy="give auto, cpu, cuda, cuda:<number>, or several with commas between",
        )
    return torch.device(name)


def device_names(devices: Sequence[torch.device]) -> str:
    """What computes, in words: ``cuda: NVIDIA H200``, or ``2 x cuda: NVIDIA H200``."""
    names = [_name(device) for device in devices]
    counts = {name: names.count(name) for name in names}
    return ", ".join(f"{n} x {name}" if n > 1 else name for name, n in counts.items())


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.processor() or platform.machine()}"
