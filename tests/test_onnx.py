"""A network and a head as one ONNX file, run by onnxruntime as a stranger would."""

from __future__ import annotations

import json
import multiprocessing
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torchvision

from cache.errors import FeaturepackError, NotFound, TooLarge, Unavailable
from cache.recipe import Numerics, Recipe, Tap
from cache.rows import HeadRow
from cache.store import Store
from tests.working import recipe_of, small, working
from worker.export import onnx_file, process
from worker.export.classifier import Classifier
from worker.heads.file import Floats, Head, KnnHead, LinearHead, MlpHead, unit_rows
from worker.lease import Cancelled
from worker.networks import build, pool, run

pytestmark = pytest.mark.filterwarnings(
    # torch's exporter meets torch's own deprecations; in a worker it is in a process of its own.
    "ignore::FutureWarning",
    "ignore::DeprecationWarning",
)

CLASSES = ("Äpfel", "梨", "c", "d", "e")


def linear(width: int, spread: float = 1.0) -> LinearHead:
    """For features that vary by about ``spread``, so that no class is sure."""
    random = np.random.default_rng(1)
    weight_DK = random.normal(size=(width, len(CLASSES))) / (spread * width**0.5)
    return LinearHead(weight_DK.astype(np.float32), np.zeros(len(CLASSES), np.float32), CLASSES)


def mlp(width: int) -> MlpHead:
    random = np.random.default_rng(2)

    def layer(inputs: int, outputs: int) -> tuple[Floats, Floats]:
        weight = random.normal(size=(inputs, outputs)) * (2 / inputs) ** 0.5
        return weight.astype(np.float32), random.normal(size=outputs).astype(np.float32)

    return MlpHead((layer(width, 32), layer(32, 16), layer(16, len(CLASSES))), CLASSES)


def knn(width: int) -> KnnHead:
    random = np.random.default_rng(3)
    features_MD = unit_rows(random.random((40, width)).astype(np.float32))
    label_M = random.integers(0, 2, 40)  # of five votes, some class has three
    return KnnHead(features_MD, label_M, 5, CLASSES)


def network_of(recipe: Recipe) -> torch.nn.Module:
    """With random weights; of a vision transformer those for the recipe's own input size."""
    state = None
    if recipe.network.startswith("vit_"):
        side = recipe.transform.output_HW[0]
        state = torchvision.models.get_model(recipe.network, image_size=side).state_dict()
    return build(recipe.network, state, 0 if state is None else None, [recipe.tap.layer])


def export(
    path: Path, recipe: Recipe, head: Head, network: torch.nn.Module | None = None
) -> torch.nn.Module:
    """Write and check the file; the network."""
    network = network or network_of(recipe)
    about = onnx_file.described(HeadRow("h1", "p1", "lab", {}, {}), head, recipe)
    onnx_file.write(path, Classifier(network, recipe, head).eval(), recipe, about)
    onnx_file.check(path, network, recipe, head)
    return network


def ours(network: torch.nn.Module, recipe: Recipe, head: Head, images: torch.Tensor) -> Floats:
    """The pack's way: the network, its pooled tap as it is stored, the head in NumPy."""
    features = pool(run(network, images)[recipe.tap.layer], recipe.tap.pool).numpy()
    return head.probabilities(features.astype(recipe.numerics.stored))


def assert_equal(path: Path, network: torch.nn.Module, recipe: Recipe, head: Head) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    generator = torch.Generator().manual_seed(9)
    for count in (1, 2, 7):
        images = torch.randn(count, 3, *recipe.transform.output_HW, generator=generator)
        (found,) = session.run(None, {"images": images.numpy()})
        expected = ours(network, recipe, head, images)
        assert found.shape == (count, len(CLASSES))
        assert 1.5 / len(CLASSES) < expected.max() < 0.999, "else nearly any file would do"
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("network", "side"),
    [
        ("resnet18", 64),
        ("mobilenet_v2", 64),
        ("alexnet", 64),
        ("inception_v3", 75),
        ("vit_b_16", 32),
    ],
)
def test_networks_of_every_kind(network: str, side: int, tmp_path: Path) -> None:
    recipe = recipe_of(network, transform=small(network, side))
    cut = network_of(recipe)
    features = pool(run(cut, torch.randn(1, 3, side, side))[recipe.tap.layer], recipe.tap.pool)
    head = linear(features.shape[1], float(features.std()))
    path = tmp_path / "a.onnx"
    assert_equal(path, export(path, recipe, head, cut), recipe, head)


@pytest.mark.parametrize("head", [linear(512), mlp(512), knn(512)], ids=lambda h: type(h).__name__)
@pytest.mark.parametrize("stored", ["float32", "float16"])
def test_heads_of_every_kind(head: Head, stored: str, tmp_path: Path) -> None:
    numerics = Numerics("float32", "float16" if stored == "float16" else "float32")
    recipe = recipe_of("squeezenet1_1", transform=small("squeezenet1_1"), numerics=numerics)
    path = tmp_path / "a.onnx"
    assert_equal(path, export(path, recipe, head), recipe, head)


def test_a_map_that_is_not_pooled(tmp_path: Path) -> None:
    tap = Tap("features.12.cat", "flatten")
    recipe = recipe_of("squeezenet1_1", tap, small("squeezenet1_1"))
    head, path = linear(512 * 3 * 3), tmp_path / "a.onnx"
    assert_equal(path, export(path, recipe, head), recipe, head)


def test_a_stranger_finds_what_is_needed_in_the_file(tmp_path: Path) -> None:
    recipe = recipe_of("squeezenet1_1", transform=small("squeezenet1_1"))
    export(tmp_path / "a.onnx", recipe, linear(512))
    model = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a.onnx"], "one file"
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 18)]
    about = {each.key: each.value for each in model.metadata_props}
    assert json.loads(about["classes"]) == list(CLASSES)
    assert json.loads(about["input_size"]) == [64, 64]
    assert json.loads(about["mean"]) == [0.485, 0.456, 0.406]
    assert json.loads(about["std"]) == [0.229, 0.224, 0.225]
    assert about["channels"] == "RGB"
    assert (about["head_id"], about["recipe_id"]) == ("h1", recipe.recipe_id)
    assert Recipe.from_dict(json.loads(about["recipe"])) == recipe
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (put,), (got,) = session.get_inputs(), session.get_outputs()
    assert (put.name, put.type, put.shape) == ("images", "tensor(float)", ["N", 3, 64, 64])
    assert (got.name, got.type, got.shape) == ("probabilities", "tensor(float)", ["N", 5])


@pytest.mark.parametrize("head", [linear(512), knn(512)], ids=lambda head: type(head).__name__)
def test_a_file_that_computes_something_else_is_found(head: Head, tmp_path: Path) -> None:
    recipe = recipe_of("squeezenet1_1", transform=small("squeezenet1_1"))
    network = export(tmp_path / "a.onnx", recipe, head)
    other = replace(head, classes=CLASSES)
    if isinstance(other, LinearHead):
        bias_K = other.bias_K + np.array([0, 0, 0, 0, 1e-2], np.float32)
        other = replace(other, bias_K=bias_K)
    else:
        assert isinstance(other, KnnHead)
        other = replace(other, label_M=other.label_M + 1)
    with pytest.raises(FeaturepackError, match="from ours"):
        onnx_file.check(tmp_path / "a.onnx", network, recipe, other)


def test_what_does_not_fit_into_one_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 1_000_000)
    recipe = recipe_of("squeezenet1_1", transform=small("squeezenet1_1"))
    with pytest.raises(TooLarge, match="bytes of parameters"):
        export(tmp_path / "a.onnx", recipe, linear(512))


# --- in a process of its own ---------------------------------------------------------------------


def die(*_: object) -> None:
    os._exit(3)


def test_a_process_that_dies_is_a_passing_fault(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_export", die)
    with working(store) as context, pytest.raises(Unavailable, match="died"):
        process.export_in_process(context.settings, "h", tmp_path / "a.onnx", lambda: None)


def test_a_job_that_ends_takes_its_process_along(store: Store, tmp_path: Path) -> None:
    def cancelled() -> None:
        raise Cancelled

    with working(store) as context, pytest.raises(Cancelled):
        process.export_in_process(context.settings, "h", tmp_path / "a.onnx", cancelled)
    assert multiprocessing.active_children() == []


def test_what_a_process_meets_is_told(store: Store, tmp_path: Path) -> None:
    with working(store) as context, pytest.raises(NotFound, match="no head 'nope'"):
        process.export_in_process(context.settings, "nope", tmp_path / "a.onnx", lambda: None)
