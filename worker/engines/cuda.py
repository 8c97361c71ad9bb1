"""One GPU: images go up and features come back while the network runs on other images.

Shapes: B the fixed batch, N images of one call, n of a part, C, H, W.
"""

from __future__ import annotations

import logging
import threading
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from cache.recipe import Transform
from worker.engines.depthwise import has_depthwise
from worker.engines.engine import EngineTask
from worker.engines.fixed_batch import FixedBatch, Placed, best_size
from worker.engines.lane import Lane
from worker.engines.parts import Images, Part, Piece, pieces
from worker.engines.precision import exact_float32
from worker.engines.streams import Outputs, open_device
from worker.pixels.transforms import normalise, resize_on

log = logging.getLogger("featurepack.worker")

RESIZED_AT_ONCE = 64
"""Sources are larger than the network's input, and four times as large as float32."""


class CudaEngine:
    """Every call runs the same batch shape, as a CUDA graph where the network allows that.

    Kernels choose their blocking by shape, so a row's bits must not depend on how many neighbours
    it happens to have, nor a resumed job's on when it was resumed. The batch is found by trying
    sizes, unless the one that this network was given here before is ``remembered``; ``batch``
    tells it. Where it does not fit into the GPU's memory it is halved, for good.

    Two lanes: while the network runs on the images of one, those of the other are copied to
    pinned memory and from there to the device, resized and normalised. Outputs are brought to the
    CPU, into memory that the caller owns.

    On the CPU it does the same by the same code, one thing after the other.
    """

    lanes = 2

    def __init__(
        self, network: nn.Module, task: EngineTask, device: torch.device, remembered: int | None
    ) -> None:
        self._task = task
        self._device = open_device(device)
        self._stream = self._device.stream()
        self._network = network.to(self._device.device)
        self._reduced = _reduced(network) if task.compute == "fast" else None
        for parameter in self._network.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self._device.finish_all()
        self._lanes: SimpleQueue[Lane] = SimpleQueue()
        for _ in range(self.lanes):
            self._lanes.put(Lane(self._device))
        self._changing = threading.Lock()
        self._fixed: FixedBatch | None = None
        self._fit(remembered or best_size(self._seconds))

    def run(self, images: Images) -> Outputs:
        """Also of groups, as ``batches(…, resize_later=True)`` makes them.

        Of those there are as many rows as the highest place says.
        """
        while True:
            size = self.batch
            try:
                return self._run(images)
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
            self._halve(size)  # outside of the except clause, which holds the tensors

    def _run(self, images: Images) -> Outputs:
        fixed = self._fixed
        if fixed is None:
            raise torch.OutOfMemoryError("not even one image fits into the GPU's memory")
        found = [self._run_piece(fixed, piece) for piece in pieces(images, fixed.size)]
        if len(found) == 1:
            return found[0]
        return {layer: torch.cat([each[layer] for each in found]) for layer in found[0]}

    @torch.inference_mode()
    def _run_piece(self, fixed: FixedBatch, piece: Piece) -> Outputs:
        lane = self._lanes.get()
        try:
            placed = self._place(lane, piece.parts)
            return lane.download(fixed.run(placed, piece.rows, lane.stream))
        except BaseException:
            self._device.finish_all()  # or the lane's memory would be overwritten while it is read
            raise
        finally:
            self._lanes.put(lane)

    def _place(self, lane: Lane, parts: list[Part]) -> list[Placed]:
        """The network's input of each part, on the device."""
        tensors = [tensor for part in parts for tensor in (part.places_n, part.pixels)]
        uploaded = lane.upload(tensors)
        with self._device.on(lane.stream), exact_float32():
            return [
                (places_n, _input(pixels, part, self._task.transform))
                for part, places_n, pixels in zip(parts, uploaded[::2], uploaded[1::2], strict=True)
            ]

    def _halve(self, size: int) -> None:
        """Go on with half of a batch that did not fit, unless another thread has done so."""
        with self._changing:
            if self.batch != size:
                return
            lanes = [self._lanes.get() for _ in range(self.lanes)]  # when nothing runs any more
            try:
                self._fixed = None
                self._fit(size // 2)
            finally:
                for lane in lanes:
                    self._lanes.put(lane)

    def _fit(self, size: int) -> None:
        """Use batches of this size, or of the largest half of it that fits."""
        while (fixed := self._warm(size)) is None:
            size //= 2
        fixed.capture()
        self._fixed = fixed
        self.batch = size
        how = "cuda graph" if fixed.captured else "cuda"
        arithmetic = str(self._reduced).removeprefix("torch.")
        self.name = f"{how} {arithmetic}" if self._reduced else how
        log.info("batches of %d on %s", size, self._device.device)

    def _warm(self, size: int) -> FixedBatch | None:
        """None where the batch does not fit. Raises torch.OutOfMemoryError if it is of one."""
        try:
            fixed = self._fixed_batch(size)
            fixed.warm_up()
            return fixed
        except torch.OutOfMemoryError:
            if size == 1:
                raise
        log.warning("batches of %d do not fit into the GPU's memory", size)
        return None

    def _seconds(self, size: int) -> float:
        fixed = self._fixed_batch(size)
        fixed.warm_up()
        return fixed.seconds()

    def _fixed_batch(self, size: int) -> FixedBatch:
        self._device.forget()  # what other sizes took
        return FixedBatch(
            self._network,
            self._device,
            self._stream,
            size,
            self._task.transform.output_HW,
            reduced=self._reduced,
        )


def _reduced(network: nn.Module) -> torch.dtype:
    """The arithmetic of ``fast``: float16 rounds eight times finer than bfloat16, and overflows."""
    return torch.float16 if has_depthwise(network) else torch.bfloat16


def _input(pixels: Tensor, part: Part, transform: Transform) -> Tensor:
    """float32 ``[n, 3, h, w]`` of a part's pixels, which lie on the device."""
    if part.source:
        return _resized(pixels, transform)
    return normalise(pixels, transform) if pixels.dtype == torch.uint8 else pixels


def _resized(pixels_nHWC: Tensor, transform: Transform) -> Tensor:
    some = torch.split(pixels_nHWC, RESIZED_AT_ONCE)
    return torch.cat([resize_on(pixels, transform) for pixels in some])
