"""A classifier as an ONNX file, and the proof that the file computes the same.

Input ``images`` float32 [N, 3, H, W], N free: pixels as the recipe's transform gives them. Output
``probabilities`` float32 [N, K]. What a stranger needs to prepare an image and to read the answer
is in the file's metadata (``metadata_props`` of ONNX's ModelProto), as text or JSON.

Shapes: N images, H, W of the network's input, K classes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn

from cache.errors import FeaturepackError, InvalidRequest, TooLarge
from cache.recipe import Recipe
from cache.rows import HeadRow
from worker.heads.file import Head, KnnHead
from worker.networks import pool

OPSET = 18
"""What torch's exporter writes by itself; onnxruntime reads it since 1.14 of 2023."""

MAX_BYTES = 1_500_000_000
"""One file is one protobuf message, of at most 2 GiB; beyond 1.5 GiB torch makes two of it."""

BOUND = 1e-4
"""How far a probability may be from ours."""

CHECKED_IMAGES = 4

_ABOUT = (
    "A frozen network with a classifier on its features. Images are resized and cropped as "
    "'transform' in the metadata says, divided by 255, less 'mean', divided by 'std', planes in "
    "the order of 'channels'. 'classes' names the columns of 'probabilities'."
)


def write(path: Path, classifier: nn.Module, recipe: Recipe, about: dict[str, str]) -> None:
    """Write the file.

    The exporter is torch's present one (torch.export's graph, ``dynamo=True``): the older one
    traces, and is not developed any more.

    Raises:
        TooLarge: it would not fit into one file.
        InvalidRequest: the network has an operation that ONNX has not.
    """
    size = sum(each.numel() * each.element_size() for each in classifier.state_dict().values())
    if size > MAX_BYTES:
        raise TooLarge(
            f"network and head have {size} bytes of parameters, one ONNX file holds {MAX_BYTES}",
            value=size,
            remedy="use a smaller network, or the head's safetensors with the network from "
            "torchvision",
        )
    example_N3HW = torch.zeros(2, 3, *recipe.transform.output_HW)
    batch = torch.export.Dim("N", min=1)
    try:
        program = torch.onnx.export(
            classifier,
            (example_N3HW,),
            dynamo=True,
            dynamic_shapes=({0: batch},),
            input_names=["images"],
            output_names=["probabilities"],
            opset_version=OPSET,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise InvalidRequest(
            f"{recipe.network} up to {recipe.tap.layer} cannot be written as ONNX: {error}",
            value=recipe.network,
            remedy="use the head's safetensors with the network from torchvision",
        ) from error
    assert program is not None
    program.model.producer_name = "featurepack"
    program.model.doc_string = _ABOUT
    program.model.metadata_props.update(about)
    program.save(path)


def described(row: HeadRow, head: Head, recipe: Recipe) -> dict[str, str]:
    """The file's metadata."""
    transform: dict[str, Any] = recipe.as_dict()["transform"]
    return {
        "head_id": row.head_id,
        "method": row.method,
        "pack_id": row.pack_id,
        "recipe_id": recipe.recipe_id,
        "recipe": json.dumps(recipe.as_dict()),
        "network": recipe.network,
        "weights": recipe.weights,
        "classes": json.dumps(head.classes, ensure_ascii=False),
        "input_size": json.dumps(recipe.transform.output_HW),
        "mean": json.dumps(recipe.transform.mean),
        "std": json.dumps(recipe.transform.std),
        "channels": recipe.transform.channels,
        "transform": json.dumps(transform),
    }


def check(path: Path, network: nn.Module, recipe: Recipe, head: Head) -> float:
    """Run the file with onnxruntime and ours beside it; the largest difference found.

    Of a knn head one image of four may differ more: where two remembered rows are equally near,
    the last bit decides who votes.

    Raises:
        FeaturepackError: the file computes something else.
    """
    generator = torch.Generator().manual_seed(0)
    images_N3HW = torch.randn(CHECKED_IMAGES, 3, *recipe.transform.output_HW, generator=generator)
    with torch.inference_mode():
        features = pool(network(images_N3HW)[recipe.tap.layer], recipe.tap.pool).numpy()
    expected_NK = head.probabilities(features.astype(recipe.numerics.stored))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found_NK,) = session.run(["probabilities"], {"images": images_N3HW.numpy()})
    apart_N = np.sort(np.abs(found_NK - expected_NK).max(axis=1))
    largest = float(apart_N[-2 if isinstance(head, KnnHead) else -1])
    if not largest <= BOUND:
        raise FeaturepackError(
            f"the ONNX file's probabilities are up to {largest:.2g} from ours",
            value=largest,
            remedy="report this with the network's name; the head's safetensors are sound",
        )
    return largest
