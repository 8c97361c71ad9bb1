"""Which operations of an OpenVINO model stay float32 when the rest is computed in bfloat16.

A depthwise convolution sums nine or so products where an ordinary one sums hundreds, so the
rounding of its weights and inputs does not average out. Left in bfloat16 they take MobileNetV2's
features of CIFAR-10 as far as cosine 0.96 from float32; with these operations alone in float32 the
worst of 500 images has 0.998.

OpenVINO's marker for this, the runtime attribute ``precise``, can be set in a model's file only
(openvinotoolkit/openvino, ``transformations/rt_info/disable_fp16_compression.hpp``).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from xml.etree import ElementTree

import openvino

from worker.engines.openvino.core import CORE


def with_exact_depthwise(model: openvino.Model) -> openvino.Model:
    """The model whose depthwise convolutions, and what makes their inputs, give float32."""
    names = _depthwise_and_inputs(model)
    if not names:
        return model
    with tempfile.TemporaryDirectory(prefix="featurepack-openvino-") as folder:
        file = Path(folder) / "model.xml"
        openvino.serialize(model, file)
        tree = ElementTree.parse(file)  # noqa: S314 - we have just written it
        for layer in tree.iter("layer"):
            if layer.get("name") in names:
                _mark(layer)
        tree.write(file)
        weights = file.with_suffix(".bin").read_bytes()
        return CORE.read_model(file.read_bytes(), weights)


def _depthwise_and_inputs(model: openvino.Model) -> set[str]:
    names = set()
    for node in model.get_ops():
        if node.get_type_name() != "GroupConvolution":
            continue
        _groups, outputs, inputs, *_kernel = node.input_value(1).get_shape()
        if outputs == inputs == 1:
            before = node.input_value(0).get_node()
            names |= {node.get_friendly_name(), before.get_friendly_name()}
    return names


def _mark(layer: ElementTree.Element) -> None:
    """Runtime attributes stand behind the layer's data, which not every layer has."""
    attributes = layer.find("rt_info")
    if attributes is None:
        attributes = ElementTree.Element("rt_info")
        layer.insert(0 if layer.find("data") is None else 1, attributes)
    ElementTree.SubElement(attributes, "attribute", name="precise", version="0")
