"""Checkpoints: read without running code, and judged whether they fit."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor

from cache.errors import CorruptData, InvalidRequest
from cache.networks import get
from worker.checkpoints import load_state_dict
from worker.networks import build, check_checkpoint, construct, unavailable_layers

SHARED = Path(__file__).parents[2] / "shared" / "data" / "weights"
IMAGES_NCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def small_state(network: str = "squeezenet1_1") -> dict[str, Tensor]:
    return dict(construct(network, seed=1).state_dict())


def outputs_equal(network: str, state: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    layer = get(network).default_tap.layer
    with torch.inference_mode():
        rows = [build(network, each, None, [layer])(IMAGES_NCHW)[layer] for each in (state, other)]
    return torch.equal(*rows)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("wrapper", [None, "state_dict", "model"])
def test_wrappers_prefixes_and_both_formats(
    tmp_path: Path, zipped: bool, wrapper: str | None
) -> None:
    state = {"features.0.weight": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(3)}
    prefixed = {f"module.{name}": value for name, value in state.items()}
    path = tmp_path / "checkpoint.pth"
    content = {wrapper: prefixed, "epoch": 3} if wrapper else prefixed
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    loaded = load_state_dict(path)
    assert list(loaded) == list(state)
    assert all(torch.equal(loaded[name], value) for name, value in state.items())


def test_safetensors_and_pth_give_the_same_network(tmp_path: Path) -> None:
    state = small_state()
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    loaded = [load_state_dict(tmp_path / name) for name in ("a.safetensors", "a.pth")]
    assert outputs_equal("squeezenet1_1", *loaded)
    halves = {name: value.half() for name, value in state.items()}
    cut = build("squeezenet1_1", halves, None, ["features"])
    assert {each.dtype for each in cut.parameters()} == {torch.float32}


@pytest.mark.parametrize("name", ["cut.pth", "old.pth", "cut.safetensors", "text.pth", "empty.pth"])
def test_what_is_no_whole_checkpoint_is_corrupt(tmp_path: Path, name: str) -> None:
    path, state = tmp_path / name, {"a": torch.randn(1000)}
    if name == "text.pth":
        path.write_text("hello, I am not a checkpoint\n" * 50)
    elif name == "empty.pth":
        path.touch()
    elif name.endswith(".safetensors"):
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=name == "cut.pth")
    whole = path.stat().st_size
    for size in (whole * 7 // 8, whole // 2, whole // 8, 1 if whole else 0):
        os.truncate(path, size)
        with pytest.raises(CorruptData, match=path.stem):
            load_state_dict(path)


class Bomb:
    """Unpickling this the trusting way creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, marker = tmp_path / "checkpoint.pth", tmp_path / "it ran"
    content = {"features.0.weight": torch.zeros(1), "bomb": Bomb(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(InvalidRequest, match="never loaded") as caught:
        load_state_dict(path)
    assert not marker.exists()
    assert "safetensors" in caught.value.remedy
    torch.load(path, weights_only=False)
    assert marker.exists(), "the bomb is a dud: this test would prove nothing"


def test_a_plain_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "checkpoint.pth", tmp_path / "it ran"
    path.write_bytes(pickle.dumps(Bomb(marker)))
    with pytest.raises((InvalidRequest, CorruptData)):
        load_state_dict(path)
    assert not marker.exists()


@pytest.mark.parametrize(
    "content",
    [[1, 2], torch.zeros(3), {}, {"lr": 0.1}, {1: torch.zeros(1)}, {"a": torch.eye(2).to_sparse()}],
    ids=["list", "tensor", "empty", "number", "number as name", "sparse"],
)
def test_what_is_no_state_dict_is_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(InvalidRequest, match="no state dict"):
        load_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("network", "old"),
    [
        ("densenet121", lambda name: _dotted(name)),
        (
            "vit_b_32",
            lambda name: name.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"),
        ),
    ],
)
def test_names_of_old_official_files_are_brought_up_to_date(
    tmp_path: Path, network: str, old: Any
) -> None:
    names = list(construct(network, side=224).state_dict())
    torch.save({old(name): torch.zeros(1) for name in names}, tmp_path / "a.pth")
    assert len({*names} - {*map(old, names)}) > 40
    assert list(load_state_dict(tmp_path / "a.pth")) == names


def _dotted(name: str) -> str:
    for part in ("norm", "conv"):
        for number in "12":
            name = name.replace(f".{part}{number}.", f".{part}.{number}.")
    return name


# Whether it fits


def test_a_partial_checkpoint_gives_what_it_can() -> None:
    state = {name: value for name, value in small_state().items() if name.startswith("features.")}
    whole = small_state()
    with torch.inference_mode():
        part = build("squeezenet1_1", state, None, ["features"])(IMAGES_NCHW)["features"]
        full = build("squeezenet1_1", whole, None, ["features"])(IMAGES_NCHW)["features"]
    assert torch.equal(part, full)
    with pytest.raises(InvalidRequest, match=r"classifier\.1\.weight is missing") as caught:
        build("squeezenet1_1", state, None, ["classifier"])
    assert "classifier" in caught.value.value
    assert "before" in caught.value.remedy
    lacking = unavailable_layers("squeezenet1_1", state)
    assert lacking == dict.fromkeys(
        ("classifier.1", "classifier.2", "classifier.3", "flatten"), "classifier.1.weight"
    )
    assert unavailable_layers("squeezenet1_1", whole) == {}


def test_missing_parameters_reach_layers_through_branches() -> None:
    state = small_state("resnet18")
    del state["layer2.0.downsample.0.weight"], state["layer3.0.bn1.running_mean"]
    lacking = unavailable_layers("resnet18", state)
    assert "layer2.0.bn2" not in lacking, "the other branch is whole"
    assert lacking["layer2.0.add"] == "layer2.0.downsample.0.weight" == lacking["fc"]
    with pytest.raises(InvalidRequest, match=r"layer2\.0\.downsample\.0\.weight is missing"):
        build("resnet18", state, None, ["flatten"])
    build("resnet18", state, None, ["layer2.0.bn2"])


def test_values_that_are_not_numbers_count_as_missing() -> None:
    """As in torchvision's IMAGENET1K_FEATURES, whose classifier is NaN."""
    state = small_state()
    state["classifier.1.weight"] = torch.full_like(state["classifier.1.weight"], float("nan"))
    check_checkpoint("squeezenet1_1", state)
    assert set(unavailable_layers("squeezenet1_1", state).values()) == {"classifier.1.weight"}
    with pytest.raises(InvalidRequest, match="not finite"):
        build("squeezenet1_1", state, None, ["classifier"])


def test_counters_of_training_steps_may_be_missing() -> None:
    state = small_state("resnet18")
    bare = {name: value for name, value in state.items() if "num_batches" not in name}
    assert len(bare) < len(state)
    assert outputs_equal("resnet18", state, bare)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("resnet18", "resnet34"),  # nothing foreign, much missing
        ("resnet34", "resnet18"),  # all there, and more
        ("squeezenet1_0", "squeezenet1_1"),  # the same names, other shapes
        ("mobilenet_v3_small", "squeezenet1_1"),  # nothing in common
        ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0"),
    ],
)
def test_another_networks_checkpoint_is_refused(theirs: str, ours: str) -> None:
    state, layer = small_state(theirs), get(ours).default_tap.layer
    kinship = "another network" if theirs.startswith("mobilenet") else ours
    with pytest.raises(InvalidRequest, match=kinship):
        build(ours, state, None, [layer])
    if (theirs, ours) != ("resnet18", "resnet34"):  # that one is a part, as far as one can tell
        with pytest.raises(InvalidRequest, match=ours):
            check_checkpoint(ours, state)
        first = next(iter(get(ours).layers))
        with pytest.raises(InvalidRequest, match=ours):
            build(ours, state, None, [first])
    check_checkpoint(theirs, state)


def test_a_parameter_of_another_shape_or_kind_is_named() -> None:
    for spoilt in (torch.zeros(64, 3, 5, 5), torch.zeros(64, 3, 3, 3, dtype=torch.int8)):
        state = small_state() | {"features.0.weight": spoilt}
        with pytest.raises(InvalidRequest, match=r"features\.0\.weight (has shape|is torch\.int8)"):
            check_checkpoint("squeezenet1_1", state)


def test_a_replaced_classifier_is_no_obstacle_before_it() -> None:
    """Fine-tuning gives another number of classes, or another structure."""
    state = small_state("resnet18")
    ten = state | {"fc.weight": torch.zeros(10, 512), "fc.bias": torch.zeros(10)}
    deeper = {name: value for name, value in state.items() if not name.startswith("fc.")}
    deeper |= {"fc.1.weight": torch.zeros(10, 512), "fc.1.bias": torch.zeros(10)}
    for tuned, why in [(ten, "has shape"), (deeper, "is missing")]:
        check_checkpoint("resnet18", tuned)
        assert outputs_equal("resnet18", state, tuned)
        with pytest.raises(InvalidRequest, match=rf"fc\.weight {why}"):
            build("resnet18", tuned, None, ["fc"])
    with pytest.raises(InvalidRequest, match=r"resnet18 has no layer5\.0\.weight"):
        build("resnet18", state | {"layer5.0.weight": torch.zeros(1)}, None, ["flatten"])


@pytest.mark.parametrize("network", ["googlenet", "inception_v3"])
def test_official_checkpoints_with_auxiliary_heads_load(network: str) -> None:
    """Their files hold these heads, and the networks change the input's range themselves."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = torchvision.models.get_model(
            network, weights=None, aux_logits=True, transform_input=True, init_weights=False
        ).eval()
    images_NCHW = torch.nn.functional.interpolate(IMAGES_NCHW, 96)
    with torch.inference_mode():
        cut = build(network, model.state_dict(), None, ["flatten", "fc"])
        found, expected = cut(images_NCHW), model(images_NCHW)
    torch.testing.assert_close(found["fc"], expected, rtol=1e-5, atol=1e-6)
    assert found["flatten"].shape == (2, *get(network).default_shape)
    assert not any("aux" in name.lower() for name in cut.state_dict())


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_the_convolutions_of_a_real_checkpoint(network: str) -> None:
    path = SHARED / f"{network}_features.pth"
    if not path.exists():
        pytest.skip("needs shared/data/weights beside the repository")
    state, info = load_state_dict(path), get(network)
    check_checkpoint(network, state)
    first = {"alexnet": "classifier.1", "vgg16": "classifier.0"}[network]  # the first Linear
    names = list(info.layers)
    lacking = unavailable_layers(network, state)
    assert lacking == dict.fromkeys(names[names.index(first) :], f"{first}.weight")
    with torch.device("meta"):
        features = torchvision.models.get_model(network).features.eval()
    features.load_state_dict(
        {name.removeprefix("features."): value for name, value in state.items()}, assign=True
    )
    with torch.inference_mode():
        maps_NCHW = build(network, state, None, ["features"])(IMAGES_NCHW)["features"]
        torch.testing.assert_close(maps_NCHW, features(IMAGES_NCHW), rtol=1e-5, atol=1e-5)
    assert maps_NCHW.std() > 0.01
    with pytest.raises(InvalidRequest, match=r"classifier\.[01]\.weight is missing"):
        build(network, state, None, [info.default_tap.layer])
    other = "vgg16" if network == "alexnet" else "alexnet"
    with pytest.raises(InvalidRequest, match="another network"):
        build(other, state, None, ["features"])
