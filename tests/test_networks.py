"""The catalogue against torchvision, and the cut networks against whole ones."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, get_args

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from cache import networks
from cache.errors import InvalidRequest, NotFound
from cache.recipe import Pool, Tap
from worker import network_catalogue
from worker.feature_shapes import feature_shape
from worker.network_catalogue import network_names, render
from worker.networks import build, check_checkpoint, construct, pool, trace, unavailable_layers

ALL = torchvision.models.list_models(module=torchvision.models)
RAW = json.loads(networks.CATALOGUE.read_bytes())
INCEPTION_HEAD = 3_326_696
"""Parameters of Inception's auxiliary head, which torchvision counts and which is off here."""

# One small network of each kind of graph, with an input that is small but allowed.
SMALL = {
    "squeezenet1_1": 64,
    "resnet18": 64,
    "mobilenet_v3_small": 64,
    "shufflenet_v2_x0_5": 64,
    "mnasnet0_5": 64,
    "regnet_y_400mf": 64,
    "densenet121": 64,
    "googlenet": 64,
    "swin_v2_t": 64,
    "maxvit_t": 224,
}


def images(side: int, seed: int = 0) -> Tensor:
    """images_NCHW, float32, two different ones."""
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(seed))


def hooked(model: nn.Module, images_NCHW: Tensor) -> tuple[dict[str, list[Tensor]], Tensor]:
    """Every module's outputs, as plain hooks see them, and the network's own output.

    Hooks copy what they see: the next activation may work in place.
    """
    seen: dict[str, list[Tensor]] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                seen.setdefault(name, []).append(output.clone())

        return hook

    for name, module in model.named_modules():
        module.register_forward_hook(remember(name))
    with torch.inference_mode():
        return seen, model(images_NCHW)


def test_every_classification_network_of_torchvision_is_there() -> None:
    assert list(networks.names()) == sorted(ALL) == network_names()
    assert len(ALL) == 80


@pytest.mark.parametrize("name", ALL)
def test_the_catalogue_is_what_torchvision_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers, shapes, parameters, weights and taps, made again from torchvision.

    Counting FLOPs takes as long as all the rest, so it is done again for small networks only;
    those of all networks are compared with torchvision's own numbers below.
    """
    entry = RAW["networks"][name]
    if name not in SMALL:
        monkeypatch.setattr(network_catalogue, "_flops", lambda *_: entry["flops"])
    assert network_catalogue.describe(name) == entry


def test_the_file_is_written_the_same_way_each_time() -> None:
    text = networks.CATALOGUE.read_text(encoding="ascii")
    if RAW["source"] != "torchvision " + ".".join(torchvision.__version__.split(".")[:2]):
        pytest.skip(f"the file was written with {RAW['source']}, another release is installed")
    assert render(dict(reversed(RAW["networks"].items()))) == text


@pytest.mark.parametrize("name", ALL)
def test_published_numbers_agree(name: str) -> None:
    """What torchvision publishes beside its code: nothing here comes from our generator."""
    info = networks.get(name)
    published = list(torchvision.models.get_model_weights(name))
    assert [weights.name for weights in info.weights] == [each.name for each in published]
    for ours, theirs in zip(info.weights, published, strict=True):
        preset, transform = theirs.transforms(), ours.transform
        assert ours.url == theirs.url
        assert ours.url.endswith("/" + ours.file)
        assert f"-{ours.hash_prefix}.pth" in ours.file
        assert len(ours.hash_prefix) >= 8
        assert int(ours.hash_prefix, 16) >= 0
        assert transform.size == tuple(preset.resize_size)
        assert transform.crop == tuple(preset.crop_size) * 2
        assert transform.interpolation == preset.interpolation.value
        assert transform.mean == tuple(preset.mean)
        assert transform.std == tuple(preset.std)
        accuracy = theirs.meta["_metrics"]["ImageNet-1K"]["acc@1"]
        assert ours.acc1 == accuracy or (ours.acc1 is None and math.isnan(accuracy))
    meta = published[0].meta
    aux = INCEPTION_HEAD if name == "inception_v3" else 0
    assert info.parameters + aux == meta["num_params"]
    assert info.flops == pytest.approx(2e9 * meta["_ops"], rel=0.013)  # published to 1e6


@pytest.mark.parametrize("name", ALL)
def test_the_default_tap_is_what_the_last_layer_reads(name: str) -> None:
    info, model = networks.get(name), construct(name, side=networks.get(name).input_size[0])
    last = [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]
    width = last.in_features if isinstance(last, nn.Linear) else last.in_channels
    assert info.default_shape == (width,) == tuple(RAW["networks"][name]["default_shape"])
    assert info.default_weights.name == RAW["networks"][name]["default_weights"]


@pytest.mark.parametrize(
    ("name", "tap", "shape"),
    [
        ("resnet50", Tap("flatten"), (2048,)),
        ("mobilenet_v2", Tap("flatten"), (1280,)),
        ("vgg16", Tap("classifier.4"), (4096,)),
        ("alexnet", Tap("classifier.5"), (4096,)),
        ("squeezenet1_1", Tap("features.12.cat", "avg"), (512,)),
        ("vit_b_16", Tap("getitem_5"), (768,)),
        ("inception_v3", Tap("flatten"), (2048,)),
        ("googlenet", Tap("flatten"), (1024,)),
    ],
)
def test_default_taps(name: str, tap: Tap, shape: tuple[int, ...]) -> None:
    info = networks.get(name)
    assert (info.default_tap, info.default_shape) == (tap, shape)


def test_names_are_forgiving_and_unknown_ones_are_explained() -> None:
    for alias, name in [("VGG", "vgg16"), ("inception", "inception_v3"), ("ResNet", "resnet50")]:
        assert networks.get(alias).name == name
    assert networks.get(" AlexNet ").name == "alexnet"
    with pytest.raises(NotFound) as caught:
        networks.get("resnet51")
    assert caught.value.value == "resnet51"
    assert "resnet50" in caught.value.remedy


def test_weights_by_name() -> None:
    info = networks.get("resnet50")
    assert info.weights_named("default") is info.weights[0] is info.default_weights
    assert info.weights_named("imagenet1k_v2").identity == "torchvision:resnet50-11ad3fa6.pth"
    with pytest.raises(NotFound, match="IMAGENET1K_V9") as caught:
        info.weights_named("IMAGENET1K_V9")
    assert "IMAGENET1K_V1, IMAGENET1K_V2" in caught.value.remedy


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "swin_t", "vit_b_32", "googlenet"])
def test_layers_mean_what_they_mean_in_torchvision(name: str) -> None:
    info = networks.get(name)
    model = construct(name, side=info.input_size[0])
    known = get_graph_node_names(model, suppress_diff_warning=True)[1]
    assert [node for node in known if node in info.layers] == list(info.layers)
    modules = {node.rpartition(".")[0] for node in info.layers} - {""}
    for module in sorted(modules, key=len)[:6]:
        cut = create_feature_extractor(model, [module], suppress_diff_warning=True).eval()
        (theirs,) = next(node for node in cut.graph.nodes if node.op == "output").args[0].values()
        whole = trace(model)
        ours = whole.nodes[info.resolve_layer(module)]
        assert (ours.name, ours.op, ours.target) == (theirs.name, theirs.op, theirs.target)


def test_resolving_a_layer() -> None:
    info = networks.get("resnet50")
    assert info.resolve_layer("layer4") == "layer4.2.relu_2"
    assert info.resolve_layer("layer1.0.conv1") == "layer1.0.conv1"
    assert networks.get("vgg16").resolve_layer("features") == "features.30"
    for wrong in ("layer", "layer44", ""):  # a head of a name is not a module
        with pytest.raises(NotFound) as caught:
            info.resolve_layer(wrong)
    with pytest.raises(NotFound) as caught:
        info.resolve_layer("layer44")
    assert "layer4" in caught.value.remedy


def test_feature_shapes() -> None:
    resnet, vit, swin = (networks.get(name) for name in ("resnet50", "vit_b_16", "swin_t"))
    assert resnet.feature_shape("layer4", "none") == (2048, 7, 7)
    assert (
        resnet.feature_shape("layer4", "avg") == (2048,) == resnet.feature_shape("flatten", "none")
    )
    assert resnet.feature_shape("layer4", "flatten") == (2048 * 49,)
    assert vit.feature_shape("encoder.ln", "max") == (768,)
    assert swin.feature_shape("permute", "avg") == (768,)  # channels first
    for info, layer in [(resnet, "flatten"), (swin, "features"), (vit, "reshape")]:
        with pytest.raises(InvalidRequest) as caught:
            info.feature_shape(layer, "avg")
        assert "pool none" in caught.value.remedy
    assert "'avgpool'" in _remedy(swin, "features")


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "vgg11", "swin_t", "inception_v3"])
def test_shapes_that_are_known_at_any_size_are_those_of_a_run(name: str) -> None:
    info = networks.get(name)
    side = info.input_size[0] + 32
    for layer in (info.default_tap.layer, next(iter(info.layers)), info.output_layer):
        for pooling in get_args(Pool):
            try:
                known = info.known_shape(layer, pooling, (side, side))
            except InvalidRequest:
                continue
            found = feature_shape(name, Tap(layer, pooling), (side, side))
            own = info.feature_shape(layer, pooling)
            assert known == found if known is not None else own != found


def _remedy(info: networks.NetworkInfo, layer: str) -> str:
    with pytest.raises(InvalidRequest) as caught:
        info.feature_shape(layer, "max")
    return caught.value.remedy


def test_presets() -> None:
    vit = networks.get("vit_b_16")
    large = vit.weights_named("IMAGENET1K_SWAG_E2E_V1")
    assert networks.official_transform(vit).output_HW == vit.input_size == (224, 224)
    assert networks.official_transform(vit, large) == large.transform
    stretch = networks.stretch_transform(vit, large)
    assert (stretch.resize, stretch.size, stretch.crop) == ("stretch", (384, 384), None)
    assert (stretch.interpolation, stretch.antialias, stretch.resample) == (
        "bilinear",
        True,
        "float32",
    )
    assert stretch.mean == (0.485, 0.456, 0.406)


def test_the_catalogue_needs_no_torch() -> None:
    code = "import sys; from cache import networks; networks.get('vgg').default_shape; "
    code += "assert 'torch' not in sys.modules and 'torchvision' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@cache
def whole(name: str) -> tuple[nn.Module, Mapping[str, list[Tensor]], Tensor]:
    """A whole network with random weights, what its modules gave, and its output."""
    model = construct(name, seed=3)
    return model, *hooked(model, images(SMALL[name]))


@pytest.mark.parametrize("name", [name for name in SMALL if name != "maxvit_t"])  # that is slow
def test_all_taps_at_once_give_what_plain_hooks_see(name: str) -> None:
    """No tap may see what a later activation in place makes of its tensor."""
    info = networks.get(name)
    model, seen, logits = whole(name)
    with torch.inference_mode():
        outputs = build(name, model.state_dict(), None, list(info.layers))(images(SMALL[name]))
    assert list(outputs) == list(info.layers)
    compared = 0
    for layer, output in outputs.items():
        module, _, repeat = layer.rpartition("_")  # relu_2 is the third call of relu
        if layer in seen:
            expected = seen[layer][0]
        elif repeat.isdigit() and module in seen:
            expected = seen[module][int(repeat)]
        else:
            continue
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-6)
        compared += 1
    assert compared > 20
    torch.testing.assert_close(outputs[list(outputs)[-1]], logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
def test_one_tap_gives_what_the_classifier_reads(name: str) -> None:
    """The features, put through the classifier that they were cut from, give the full output."""
    info = networks.get(name)
    model, _, logits = whole(name)
    layer, pooling = info.default_tap.layer, info.default_tap.pool
    with torch.inference_mode():
        features = build(name, model.state_dict(), None, [layer])(images(SMALL[name]))[layer]
        last = [each for each in model.modules() if isinstance(each, nn.Linear | nn.Conv2d)][-1]
        found = last(features)
        if isinstance(last, nn.Conv2d):  # squeezenet: ReLU and the mean come after it
            found = found.relu().mean((2, 3))
    torch.testing.assert_close(found, logits, rtol=1e-5, atol=1e-6)
    assert pool(features, pooling).shape == (2, *info.default_shape)


def test_the_network_is_frozen_and_cut() -> None:
    cut = build("resnet18", None, 0, ["layer1"])
    assert not cut.training
    assert not any(module.training for module in cut.modules())
    assert not any(parameter.requires_grad for parameter in cut.parameters())
    assert {parameter.dtype for parameter in cut.parameters()} == {torch.float32}
    assert not any(name.startswith(("layer2", "fc")) for name in cut.state_dict())
    before = {name: value.clone() for name, value in cut.state_dict().items()}
    cut(images(64))
    assert all(torch.equal(before[name], value) for name, value in cut.state_dict().items())


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    cut, both = build("mobilenet_v3_small", None, 0, ["flatten"]), images(64)
    with torch.inference_mode():
        alone = cut(both[:1])["flatten"]
        torch.testing.assert_close(cut(both)["flatten"][:1], alone, rtol=1e-5, atol=1e-6)


def test_random_weights_come_from_their_seed_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = build("squeezenet1_1", None, 7, ["features"]).state_dict()
    assert torch.equal(torch.rand(3), expected), "building must not draw from the global RNG"
    second = build("squeezenet1_1", None, 7, ["features"]).state_dict()
    other = build("squeezenet1_1", None, 8, ["features"]).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        theirs = torchvision.models.squeezenet1_1().state_dict()
    assert all(torch.equal(first[name], theirs[name]) for name in first)


def test_a_checkpoint_or_a_seed() -> None:
    for state, seed in [(None, None), ({"fc.weight": torch.zeros(1)}, 1)]:
        with pytest.raises(InvalidRequest, match="either a checkpoint or a seed"):
            build("resnet18", state, seed, ["flatten"])
    with pytest.raises(NotFound, match="no layer"):
        build("resnet18", None, 1, ["layer9"])


def test_a_vision_transformer_takes_its_size_from_the_checkpoint() -> None:
    """The SWAG checkpoints are for 384 pixels; values are one stretched zero, shapes are real."""
    large = construct("vit_b_16", side=384).state_dict()
    state = {name: torch.zeros(()).expand(value.shape) for name, value in large.items()}
    check_checkpoint("vit_b_16", state)
    assert unavailable_layers("vit_b_16", state) == {}
    state["encoder.pos_embedding"] = torch.zeros(1, 100, 768)  # not a square and one
    with pytest.raises(InvalidRequest, match=r"pos_embedding has shape \[1, 100, 768\]"):
        check_checkpoint("vit_b_16", state)


def test_pooling_by_hand() -> None:
    maps_NCHW = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]], [[0.0, 0.0], [0.0, 4.0]]]])
    assert pool(maps_NCHW, "avg").tolist() == [[3.0, 1.0]]
    assert pool(maps_NCHW, "max").tolist() == [[6.0, 4.0]]
    assert pool(maps_NCHW, "flatten").tolist() == [[1.0, 2.0, 3.0, 6.0, 0.0, 0.0, 0.0, 4.0]]
    assert torch.equal(pool(maps_NCHW, "none"), maps_NCHW)
    tokens_NTC = torch.tensor([[[1.0, 5.0], [3.0, 7.0]]])
    assert pool(tokens_NTC, "avg").tolist() == [[2.0, 6.0]]
    assert pool(tokens_NTC.to(torch.bfloat16), "max").dtype == torch.float32
    for features in (torch.zeros(2, 3), torch.zeros(2, 3, 4, 5, 6)):
        with pytest.raises(InvalidRequest, match="does not fit"):
            pool(features, "avg")
