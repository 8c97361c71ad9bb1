"""The way of one batch to the device and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from worker.engines.streams import Device, Outputs

ALIGNMENT = 512
"""Bytes. Where a tensor may begin, of any dtype and for any kernel."""


class Lane:
    """A stream, pinned memory, and as much memory on the device.

    One thread uses it at a time. Several lanes of a device copy and prepare their images while the
    network runs on those of another.
    """

    def __init__(self, device: Device) -> None:
        self._device = device
        self.stream = device.stream()
        self._pinned = device.empty(0, pinned=True)
        self._staged = device.empty(0, pinned=False)

    def upload(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """The tensors on the device, copied at once in the stream's turn.

        They lie in the lane's memory: the next upload overwrites them, so the work that reads
        them must be done by then.
        """
        starts, total = [], 0
        for tensor in tensors:
            starts.append(total)
            total += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
        if total > len(self._pinned):
            self._grow(total)
        places = list(zip(starts, tensors, strict=True))
        for start, tensor in places:
            _view(self._pinned, start, tensor).copy_(tensor)
        with self._device.on(self.stream):
            self._staged[:total].copy_(self._pinned[:total], non_blocking=True)
        return [_view(self._staged, start, tensor) for start, tensor in places]

    def download(self, outputs: Outputs) -> Outputs:
        """Outputs in memory of their own on the CPU, when all that they wait for is done."""
        with self._device.on(self.stream):
            home = {layer: self._device.bring_home(output) for layer, output in outputs.items()}
        self._device.finish(self.stream)
        return home

    def _grow(self, total: int) -> None:
        """Batches of sources differ in size: a quarter more spares growing at each of them."""
        wanted = total + total // 4
        with self._device.on(self.stream):
            self._pinned = self._staged = self._device.empty(0, pinned=True)
            self._staged = self._device.empty(wanted, pinned=False)
            self._pinned = self._device.empty(wanted, pinned=True)  # last: it says what there is


def _view(memory: Tensor, start: int, like: Tensor) -> Tensor:
    """The bytes from ``start`` on as a tensor of that dtype and shape."""
    return memory[start : start + like.nbytes].view(like.dtype).view(like.shape)
