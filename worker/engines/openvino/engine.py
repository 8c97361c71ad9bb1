"""A compiled model, called with a few images at a time.

Every lane is a stream of its own with one thread: what a layer gives to the next stays in the
core's cache, and no thread waits for another.

Shapes: N images of a run (any number).
"""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino
import torch
from torch import Tensor

from worker.engines.engine import EngineTask
from worker.engines.openvino.core import CORE
from worker.pixels.transforms import empty_images

PIPELINE_BATCH = 16


class OpenVinoEngine:
    """Calls of ``size`` images, the last one padded with zeros, in as many lanes as threads."""

    batch = PIPELINE_BATCH

    def __init__(self, model: openvino.Model, task: EngineTask, threads: int, size: int) -> None:
        """``model`` is what :func:`convert` gave; it is reshaped."""
        self.name = name_of(task, size)
        self.lanes = threads
        self._layers = task.layers
        self._size = size
        model.reshape([size, *empty_images(0, task.transform).shape[1:]])
        compiled = CORE.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": _precision(task),
                "EXECUTION_MODE_HINT": "PERFORMANCE" if task.compute == "fast" else "ACCURACY",
                "NUM_STREAMS": threads,
                "INFERENCE_NUM_THREADS": threads,
                "ENABLE_CPU_PINNING": False,  # another worker would pin its own to the same cores
            },
        )
        self._requests: SimpleQueue[openvino.InferRequest] = SimpleQueue()
        for _ in range(threads):
            self._requests.put(compiled.create_infer_request())

    def run(self, images: Tensor) -> dict[str, Tensor]:
        request = self._requests.get()
        try:
            calls = [self._call(request, piece) for piece in torch.split(images, self._size)]
        finally:
            self._requests.put(request)
        return {
            layer: torch.from_numpy(np.concatenate([call[place] for call in calls]))
            for place, layer in enumerate(self._layers)
        }

    def _call(self, request: openvino.InferRequest, images: Tensor) -> list[np.ndarray[Any, Any]]:
        """Each layer's output of at most ``size`` images."""
        count = len(images)
        if count < self._size:
            padded = images.new_zeros((self._size, *images.shape[1:]))
            padded[:count] = images
            images = padded
        request.infer([openvino.Tensor(images.contiguous().numpy(), shared_memory=True)])
        outputs = (request.get_output_tensor(place) for place in range(len(self._layers)))
        return [output.data[:count].copy() for output in outputs]


def name_of(task: EngineTask, size: int) -> str:
    return f"openvino {_precision(task)} x{size}"


def _precision(task: EngineTask) -> str:
    return "bf16" if task.compute == "fast" else "f32"
