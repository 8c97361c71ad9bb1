"""How fast a network's forward pass alone can be: images/s of every way to call it.

Shapes: B the batch, C, H, W.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from worker.engines.precision import exact_float32
from worker.engines.streams import Device, Outputs
from worker.networks import alone, run

PRECISIONS = ("float32", "tf32", "bfloat16")


@contextmanager
def arithmetic(precision: str, device: Device) -> Iterator[None]:
    """The switches of one of ``PRECISIONS``."""
    tf32 = precision == "tf32"
    # This one sets the older and the newer switch; Inductor reads the older, and torch raises
    # where they differ. For convolutions TF32 is torch's default.
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    try:
        autocast = torch.autocast(
            device.device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False
        )
        with nullcontext() if tf32 else exact_float32(), autocast:
            yield
    finally:
        torch.set_float32_matmul_precision("highest")


class Forward:
    """A network over one batch that lies on the device all the time."""

    def __init__(
        self, network: nn.Module, device: Device, size: int, input_HW: tuple[int, int]
    ) -> None:
        self._network = network
        self._device = device
        self._stream = device.stream()
        self._size = size
        images_BCHW = torch.rand(size, 3, *input_HW).to(device.device)
        self._images_BCHW: Tensor = images_BCHW.contiguous(memory_format=torch.channels_last)
        device.finish_all()

    @torch.inference_mode()
    def rates(self, precision: str, seconds: float, *, compiled: bool) -> dict[str, float]:
        """Images/s of the plain call and of its CUDA graph; without the graph if that fails."""
        network: Any = torch.compile(self._network, dynamic=False) if compiled else self._network
        prefix = "compiled" if compiled else "eager"

        def call() -> Outputs:
            return run(network, self._images_BCHW)

        with arithmetic(precision, self._device), alone(), self._device.on(self._stream):
            found = {prefix: self._rate(call, seconds)}
            try:
                graph = self._device.capture(call, self._stream)
                found[f"{prefix} graph"] = self._rate(graph, seconds)
            except Exception as error:
                print(f"  no graph of {prefix} {precision}: {error}", flush=True)
        return found

    def _rate(self, call: Callable[[], Outputs], seconds: float) -> float:
        for _ in range(3):
            call()
        self._device.finish(self._stream)
        calls, together = 0, 1
        began = time.perf_counter()
        while (spent := time.perf_counter() - began) < seconds:
            for _ in range(together):
                call()
            self._device.finish(self._stream)
            calls += together
            # Few pauses: the device waits in each.
            together = max(1, int(calls / (time.perf_counter() - began) * seconds / 5))
        return calls * self._size / spent
