"""A network as OpenVINO's model of prepared images."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from openvino.preprocess import PrePostProcessor
from torch import Tensor, nn
from torch.jit._trace import TracerWarning

from worker.engines.engine import EngineTask
from worker.engines.openvino.precision import with_exact_depthwise
from worker.networks import alone

# Shapes are fixed on purpose: what tracing warns of is what is wanted.
warnings.filterwarnings("ignore", category=TracerWarning)


def convert(network: nn.Module, task: EngineTask) -> openvino.Model:
    """A network of :func:`worker.networks.build` as OpenVINO's model of prepared images.

    Raises:
        RuntimeError, openvino's errors: it has an operation that cannot be converted.
    """
    example_1CHW = torch.zeros(1, 3, *task.transform.output_HW)
    with alone(), torch.inference_mode():
        traced = torch.jit.trace(  # type: ignore[no-untyped-call]
            _InOrder(network, task.layers), example_1CHW, check_trace=False, strict=False
        )
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced)  # the frontend does not keep it alive
    model = frontend.convert(frontend.load(decoder))
    model.inputs[0].get_node().set_partial_shape(
        openvino.PartialShape([-1, *example_1CHW.shape[1:]])
    )
    model.inputs[0].get_node().set_element_type(openvino.Type.f32)
    model.validate_nodes_and_infer_types()
    if task.transform.resample == "uint8":
        model = _of_pixels(model, task)
    return with_exact_depthwise(model) if task.compute == "fast" else model


def _of_pixels(model: openvino.Model, task: EngineTask) -> openvino.Model:
    """The model with :func:`worker.pixels.transforms.normalise` before it."""
    transform = task.transform
    steps = PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    work = steps.input().preprocess().convert_element_type(openvino.Type.f32)
    work.mean([255.0 * value for value in transform.mean])
    work.scale([255.0 * value for value in transform.std])
    if transform.channels == "BGR":
        work.reverse_channels()
    return steps.build()


class _InOrder(nn.Module):
    """A network whose dict of outputs is a tuple: tracing keeps no names."""

    def __init__(self, network: nn.Module, layers: tuple[str, ...]) -> None:
        super().__init__()
        self._network = network
        self._layers = layers

    def forward(self, images_NCHW: Tensor) -> tuple[Tensor, ...]:
        outputs: Mapping[str, Tensor] = self._network(images_NCHW)
        return tuple(outputs[layer] for layer in self._layers)
