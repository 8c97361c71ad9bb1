"""PyTorch's eager mode on the CPU, in channels-last memory order.

Shapes: B the fixed batch, N images of one call (N ≤ B), C, H, W.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from worker.engines.engine import EngineTask
from worker.networks import run
from worker.pixels.transforms import normalise

CPU_BATCH = 32


class EagerEngine:
    """Every call runs the same batch shape, the last one padded with zeros.

    Kernels choose their blocking by shape, so a row's bits must not depend on how many neighbours
    it happens to have. The batch is a constant and no setting, for the same reason.
    """

    lanes = 1

    def __init__(self, network: nn.Module, task: EngineTask) -> None:
        self.name = "eager bfloat16" if task.compute == "fast" else "eager"
        self.batch = CPU_BATCH
        self._task = task
        self._network = network
        for parameter in self._network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

    def run(self, images: Tensor) -> dict[str, Tensor]:
        pieces = [self._run(piece) for piece in torch.split(images, self.batch)]
        if len(pieces) == 1:
            return pieces[0]
        return {layer: torch.cat([p[layer] for p in pieces]) for layer in pieces[0]}

    @torch.inference_mode()
    def _run(self, images: Tensor) -> dict[str, Tensor]:
        """At most ``batch`` images."""
        count = len(images)
        pixels = images.dtype == torch.uint8
        images_NCHW = normalise(images, self._task.transform) if pixels else images
        batch_BCHW = images_NCHW.new_zeros((self.batch, *images_NCHW.shape[1:]))
        batch_BCHW[:count] = images_NCHW
        batch_BCHW = batch_BCHW.contiguous(memory_format=torch.channels_last)
        fast = self._task.compute == "fast"
        with torch.autocast("cpu", torch.bfloat16, enabled=fast):
            outputs = run(self._network, batch_BCHW)
        return {layer: output[:count] for layer, output in outputs.items()}
