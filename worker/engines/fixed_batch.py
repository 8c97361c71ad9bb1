"""A network over batches of one shape, on a device.

Shapes: B the fixed batch, n images of a part, C, H, W of the network's input.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from worker.engines.precision import exact_float32
from worker.engines.streams import Device, Outputs, Replay, Stream
from worker.networks import alone, run

log = logging.getLogger("featurepack.worker")

LEAST_FIRST = 32
MOST = 1024
GAIN = 1.03
WARM_UPS = 3
TIMED_RUNS = 3

Placed = tuple[Tensor, Tensor]
"""Places int64 [n] in the batch, and images float32 [n, C, H, W], both on the device."""


class FixedBatch:
    """The network's input has a fixed place, so that a graph of the call can be replayed.

    Without a graph, before :meth:`capture` or where that fails, the network is called as it is.

    Raises:
        torch.OutOfMemoryError: the batch does not fit, now or in any call.
    """

    def __init__(
        self,
        network: nn.Module,
        device: Device,
        stream: Stream,
        size: int,
        input_HW: tuple[int, int],
        *,
        reduced: torch.dtype | None,
    ) -> None:
        self.size = size
        self._replay: Replay | None = None
        self._network = network
        self._device = device
        self._stream = stream
        self._reduced = reduced
        with device.on(stream), torch.inference_mode():
            self._images_BCHW = torch.empty(
                (size, 3, *input_HW), device=device.device, memory_format=torch.channels_last
            ).zero_()

    @property
    def captured(self) -> bool:
        """Whether a graph is replayed."""
        return self._replay is not None

    def warm_up(self) -> None:
        """Let libraries choose kernels and take their memory, which no graph may do."""
        with alone(), self._device.on(self._stream):
            for _ in range(WARM_UPS):
                self._call()
        self._device.finish(self._stream)

    @torch.inference_mode()
    def capture(self) -> None:
        """Make a graph of the call, after :meth:`warm_up`; without one if that cannot be."""
        try:
            with alone():
                self._replay = self._device.capture(self._call, self._stream)
        except Exception as error:  # a synchronising operation, no memory for it, a driver's fault
            log.warning("no CUDA graph of this network, it runs without: %s", error)

    def seconds(self) -> float:
        """What a call takes, the shortest of some."""
        found = []
        for _ in range(TIMED_RUNS):
            self._device.finish(self._stream)
            began = time.perf_counter()
            with alone(), self._device.on(self._stream):
                self._call()
            self._device.finish(self._stream)
            found.append(time.perf_counter() - began)
        return min(found)

    @torch.inference_mode()
    def run(self, placed: Sequence[Placed], rows: int, lane: Stream) -> Outputs:
        """The outputs of the first ``rows`` places, on the device.

        What ``lane`` is at is waited for, and after that ``lane`` waits for the outputs.
        """
        with alone(), self._device.on(self._stream):
            self._device.after(lane, self._stream)
            if sum(len(places_n) for places_n, _ in placed) < self.size:
                self._images_BCHW.zero_()
            for places_n, images_nCHW in placed:
                self._images_BCHW.index_copy_(0, places_n, images_nCHW)
            # A copy: the next call of the graph, for another lane, overwrites its outputs.
            call = self._replay or self._call
            outputs = {layer: output[:rows].clone() for layer, output in call().items()}
            self._device.after(self._stream, lane)
        return outputs

    def _call(self) -> Outputs:
        # Without the cache: a cast weight that a graph made lies in the graph's own memory.
        autocast = torch.autocast(
            self._device.device.type,
            self._reduced,
            enabled=self._reduced is not None,
            cache_enabled=False,
        )
        with exact_float32(), autocast:
            return run(self._network, self._images_BCHW)


def best_size(seconds_of: Callable[[int], float]) -> int:
    """The batch from which on doubling brings no more than ``GAIN``, or does not fit.

    ``seconds_of`` a batch's size may raise torch.OutOfMemoryError. The first size is given back
    untried for the others: whoever uses it halves it where it does not fit.
    """
    best, rate, size = LEAST_FIRST, 0.0, LEAST_FIRST
    while size <= MOST:
        try:
            found = size / seconds_of(size)
        except torch.OutOfMemoryError:
            break
        if found <= rate * GAIN:
            break
        best, rate, size = size, found, size * 2
    return best
