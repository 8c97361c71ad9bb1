"""How a batch is run: fixed shape, frozen network, channels last.

Shapes: B the fixed batch, N images of one call (N ≤ B), C, H, W.
"""

from __future__ import annotations

import logging
import platform
from typing import Protocol

import torch
from torch import Tensor, nn

from worker.networks import run

log = logging.getLogger("featurepack.worker")

CPU_BATCH = 32
CUDA_BATCH = 128


class Engine(Protocol):
    """Runs images through a network and gives each tapped layer's output."""

    name: str
    batch: int

    def run(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        """Float32 images on the CPU; layer name → output of N rows.

        Raises:
            torch.OutOfMemoryError: not even one image fits.
        """
        ...


class EagerEngine:
    """PyTorch's eager mode in channels-last memory order.

    Every call runs the same batch shape, the last one padded with zeros: kernels choose their
    blocking by shape, so a row's bits must not depend on how many neighbours it happens to have.
    The batch is a constant of the device and no setting, for the same reason; only where it does
    not fit into the GPU's memory it is halved, for good.
    """

    name = "eager"

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.batch = CUDA_BATCH if device.type == "cuda" else CPU_BATCH
        self._device = device
        self._network = network.to(device)
        for parameter in self._network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def run(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        while True:
            try:
                pieces = [self._run(piece) for piece in torch.split(images_NCHW, self.batch)]
                if len(pieces) == 1:
                    return pieces[0]
                return {layer: torch.cat([p[layer] for p in pieces]) for layer in pieces[0]}
            except torch.OutOfMemoryError:
                if self.batch == 1:
                    raise
                self.batch //= 2
                log.warning("the GPU's memory is full; batches of %d from here on", self.batch)
            torch.cuda.empty_cache()  # outside of the except clause, which holds the tensors

    @torch.inference_mode()
    def _run(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        """At most ``batch`` images."""
        count = len(images_NCHW)
        batch_BCHW = images_NCHW.new_zeros((self.batch, *images_NCHW.shape[1:]))
        batch_BCHW[:count] = images_NCHW
        batch_BCHW = batch_BCHW.to(self._device, memory_format=torch.channels_last)
        with exact_float32():
            outputs = run(self._network, batch_BCHW)
        return {layer: output[:count] for layer, output in outputs.items()}


class FastEngine(EagerEngine):
    """The same in bfloat16 arithmetic (``numerics: fast``)."""

    name = "eager bfloat16"

    @torch.inference_mode()
    def _run(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        with torch.autocast(self._device.type, torch.bfloat16):
            return super()._run(images_NCHW)


class exact_float32:
    """TF32 off while it lasts: it rounds float32 products to 10 bits of mantissa."""

    def __enter__(self) -> None:
        self._before = (
            torch.backends.cuda.matmul.allow_tf32,
            torch.backends.cudnn.allow_tf32,
        )
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False

    def __exit__(self, *_: object) -> None:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = self._before


def make_engine(network: nn.Module, compute: str, device: torch.device) -> Engine:
    """The engine for a recipe's numerics."""
    return (FastEngine if compute == "fast" else EagerEngine)(network, device)


def choose_device(wanted: str) -> torch.device:
    """``auto`` is CUDA where there is one."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(wanted)


def device_name(device: torch.device) -> str:
    """What computes, in words."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"cpu: {platform.processor() or platform.machine()}"
