"""The CUDA engine; its code is the same on the CPU, where no GPU is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from cache.recipe import Compute, Tap
from tests.working import small
from worker.computing import computed
from worker.engines import EngineTask, cuda, fixed_batch
from worker.engines.cuda import CudaEngine
from worker.engines.fixed_batch import FixedBatch, best_size
from worker.engines.lane import Lane
from worker.engines.parts import pieces
from worker.engines.precision import exact_float32
from worker.engines.streams import Host, open_device
from worker.networks import build, run
from worker.pixels.pipeline import Batch
from worker.tally import Tally

SIDE = 8
PLAIN = replace(
    small(side=SIDE), resample="uint8", antialias=True, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
"""Pixels become value / 255."""

DEVICES = [
    "cpu",
    pytest.param(
        "cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    ),
]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


class Doubled(nn.Module):
    """Twice the image, and the image's mean."""

    def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
        return {"twice": images_NCHW * 2, "mean": images_NCHW.mean((1, 2, 3))}


@dataclass(frozen=True)
class OneShape:
    """As the pipeline's groups."""

    places_n: np.ndarray
    pixels: Tensor


def engine_of(
    network: nn.Module, device: torch.device, batch: int | None = 4, compute: Compute = "float32"
) -> CudaEngine:
    task = EngineTask("squeezenet1_1", ("twice",), PLAIN, compute, 200)
    return CudaEngine(network, task, device, remembered=batch)


def images_of(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, SIDE, SIDE, generator=generator)


def pixels_of(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(0, 256, (count, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("count", [0, 1, 4, 11])
def test_rows_of_float32_images_come_in_their_order(device: torch.device, count: int) -> None:
    images_NCHW = images_of(count)
    found = engine_of(Doubled(), device).run(images_NCHW)
    assert {each.device.type for each in found.values()} == {"cpu"}
    assert found["twice"].shape == (count, 3, SIDE, SIDE)
    torch.testing.assert_close(found["twice"], images_NCHW * 2, rtol=0, atol=0)
    torch.testing.assert_close(found["mean"], images_NCHW.mean((1, 2, 3)))


def test_pixels_are_normalised_on_the_device(device: torch.device) -> None:
    pixels_NHWC = pixels_of(6)
    found = engine_of(Doubled(), device).run(pixels_NHWC)["twice"]
    torch.testing.assert_close(found, pixels_NHWC.permute(0, 3, 1, 2) / 255 * 2)


def test_features_are_those_of_the_plain_network(device: torch.device) -> None:
    layers = ["features.5", "flatten"]
    images_NCHW = torch.rand(7, 3, 64, 64)
    expected = run(build("squeezenet1_1", None, 0, layers), images_NCHW)
    task = EngineTask("squeezenet1_1", tuple(layers), small(side=64), "float32", 7)
    engine = CudaEngine(build("squeezenet1_1", None, 0, layers), task, device, remembered=4)
    found = engine.run(images_NCHW)
    assert engine.name == "cuda graph"
    for layer in layers:
        error = (found[layer] - expected[layer]).abs().max() / expected[layer].abs().max()
        assert error < 1e-5


def test_a_row_depends_neither_on_its_place_nor_on_its_neighbours(device: torch.device) -> None:
    task = EngineTask("squeezenet1_1", ("flatten",), small(side=64), "float32", 7)
    network = build("squeezenet1_1", None, 0, ["flatten"])
    engine = CudaEngine(network, task, device, remembered=4)
    images_NCHW = torch.rand(9, 3, 64, 64)
    together = engine.run(images_NCHW)["flatten"]
    for row in (0, 3, 5, 8):
        alone = engine.run(images_NCHW[row : row + 1])["flatten"][0]
        torch.testing.assert_close(alone, together[row], rtol=0, atol=0)


def test_fast_is_bfloat16_arithmetic(device: torch.device) -> None:
    task = EngineTask("squeezenet1_1", ("flatten",), small(side=64), "fast", 7)
    images_NCHW = torch.rand(4, 3, 64, 64)
    expected = run(build("squeezenet1_1", None, 0, ["flatten"]), images_NCHW)["flatten"]
    engine = CudaEngine(build("squeezenet1_1", None, 0, ["flatten"]), task, device, remembered=4)
    found = engine.run(images_NCHW)["flatten"]
    assert found.dtype == torch.bfloat16
    assert torch.cosine_similarity(found.float(), expected).min() > 0.99
    assert engine.name == "cuda graph bfloat16"


def test_fast_is_float16_where_convolutions_are_depthwise(device: torch.device) -> None:
    task = EngineTask("mobilenet_v2", ("flatten",), small(side=64), "fast", 7)
    images_NCHW = torch.rand(4, 3, 64, 64)
    network = calibrated(build("mobilenet_v2", None, 0, ["flatten"]), images_NCHW)
    expected = run(network, images_NCHW)["flatten"]
    engine = CudaEngine(network, task, device, remembered=4)
    found = engine.run(images_NCHW)["flatten"].float()
    assert engine.name == "cuda graph float16"
    assert torch.cosine_similarity(found, expected).min() > 0.99


def calibrated(network: fx.GraphModule, images_NCHW: Tensor) -> fx.GraphModule:
    """With random weights mobilenet_v2 shrinks what it sees to 1e-10, too little for float16."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.momentum = 1.0  # the running statistics are those of these images
    run(network, images_NCHW)
    return network.eval()


def test_what_was_handed_over_stays_as_it_is(device: torch.device) -> None:
    """A graph's outputs and a lane's memory are used again by the calls that follow."""
    engine = engine_of(Doubled(), device)
    first = engine.run(images_of(4, seed=1))
    kept = {layer: output.clone() for layer, output in first.items()}
    for seed in range(2, 6):
        engine.run(images_of(4, seed))
    for layer, output in first.items():
        torch.testing.assert_close(output, kept[layer], rtol=0, atol=0)


def test_a_fixed_batch_hands_over_copies(device: torch.device) -> None:
    opened = open_device(device)
    stream, lane = opened.stream(), opened.stream()
    fixed = FixedBatch(Doubled(), opened, stream, 2, (SIDE, SIDE), reduced=None)
    fixed.warm_up()
    fixed.capture()
    assert fixed.captured
    places_n, images_NCHW = torch.arange(2, device=device), images_of(2).to(device)
    first = fixed.run([(places_n, images_NCHW)], 2, lane)["twice"]
    fixed.run([(places_n, images_NCHW + 1)], 2, lane)
    opened.finish_all()
    torch.testing.assert_close(first, images_NCHW * 2, rtol=0, atol=0)


def test_places_that_no_image_fills_are_zero(device: torch.device) -> None:
    """Not what the batch before had there."""
    engine = engine_of(Doubled(), device)
    engine.run(torch.ones(4, 3, SIDE, SIDE))
    groups = [OneShape(np.array([2]), torch.ones(1, 3, SIDE, SIDE))]
    assert engine.run(groups)["mean"].tolist() == [0.0, 0.0, 1.0]


def test_lanes_work_at_the_same_time(device: torch.device) -> None:
    engine = engine_of(Doubled(), device)
    assert engine.lanes == 2
    batches = [images_of(1 + seed % 6, seed) for seed in range(40)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(engine.run, batches))
    for images_NCHW, outputs in zip(batches, found, strict=True):
        torch.testing.assert_close(outputs["twice"], images_NCHW * 2, rtol=0, atol=0)


@pytest.fixture
def resizing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resize that only cuts out the first pixels."""

    def resize_on(images_NHWC: Tensor, _: Any) -> Tensor:
        assert images_NHWC.dtype == torch.uint8
        return images_NHWC[:, :SIDE, :SIDE].permute(0, 3, 1, 2) / 255.0

    monkeypatch.setattr(cuda, "resize_on", resize_on)


@pytest.mark.usefixtures("resizing")
@pytest.mark.parametrize("batch", [3, 16])
def test_groups_are_resized_on_the_device(device: torch.device, batch: int) -> None:
    random = np.random.default_rng(0)
    sizes = {(9, 8): [5, 0, 3], (8, 30): [7], (20, 11): [1, 6, 9, 10]}
    groups: list[OneShape] = []
    expected = torch.zeros(12, 3, SIDE, SIDE)
    for (height, width), places in sizes.items():
        pixels = torch.from_numpy(random.integers(0, 256, (len(places), height, width, 3), "u1"))
        groups.append(OneShape(np.array(places), pixels))
        expected[places] = pixels[:, :SIDE, :SIDE].permute(0, 3, 1, 2) / 255.0 * 2
    ready_nCHW = images_of(2)
    groups.append(OneShape(np.array([11, 4]), ready_nCHW))
    expected[[11, 4]] = ready_nCHW * 2
    found = engine_of(Doubled(), device, batch).run(groups)["twice"]
    torch.testing.assert_close(found, expected)  # places 2 and 8 have no image


def test_no_group_is_no_row() -> None:
    assert engine_of(Doubled(), torch.device("cpu")).run([])["mean"].shape == (0,)


@pytest.mark.parametrize("places", [[2, 0], []])
def test_images_that_no_group_has_give_rows_of_zeros(places: list[int]) -> None:
    """Those at the end too, of which the engine does not know."""
    engine = engine_of(Doubled(), torch.device("cpu"))
    groups: Any = [OneShape(np.array(places), torch.ones(2, 3, SIDE, SIDE))] if places else []
    batch = Batch(np.arange(5), groups, np.ones(5, bool), {}, 0.0)
    (done,) = computed(engine, iter([batch]), [Tap("twice", "avg")], Tally(5))
    expected = np.zeros((5, 3), np.float32)
    expected[places] = 2
    np.testing.assert_array_equal(done.features[0], expected)


def test_pieces_of_groups_keep_every_place() -> None:
    groups = [
        OneShape(np.array([9, 1, 4]), torch.tensor([[9], [1], [4]])),
        OneShape(np.array([5, 0]), torch.tensor([[5], [0]])),
    ]
    cut = pieces(groups, 4)
    assert [piece.rows for piece in cut] == [4, 4, 2]
    for number, piece in enumerate(cut):
        for part in piece.parts:
            assert (part.places_n + 4 * number).tolist() == part.pixels[:, 0].tolist()
    assert sum(len(part.pixels) for piece in cut for part in piece.parts) == 5


class Hungry:
    """``run``, for a device that has memory for so many images at a time."""

    def __init__(self, limit: int) -> None:
        self.limit, self.sizes = limit, list[int]()

    def __call__(self, network: nn.Module, images_BCHW: Tensor) -> dict[str, Tensor]:
        self.sizes.append(len(images_BCHW))
        if len(images_BCHW) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        outputs: dict[str, Tensor] = network(images_BCHW)
        return outputs


@pytest.fixture
def hungry(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Hungry]:
    def with_limit(limit: int) -> Hungry:
        made = Hungry(limit)
        monkeypatch.setattr(fixed_batch, "run", made)
        return made

    return with_limit


def test_out_of_memory_halves_the_batch_for_good(hungry: Callable[[int], Hungry]) -> None:
    cpu, memory = torch.device("cpu"), hungry(32)
    engine = engine_of(Doubled(), cpu, 32)
    assert (engine.batch, set(memory.sizes)) == (32, {32})
    memory.limit = 8
    images_NCHW = images_of(20)
    torch.testing.assert_close(engine.run(images_NCHW)["twice"], images_NCHW * 2, rtol=0, atol=0)
    assert engine.batch == 8
    assert engine.name == "cuda graph"  # it was captured again
    memory.limit, memory.sizes = 32, []
    engine.run(images_NCHW)
    assert set(memory.sizes) == {8}


def test_a_batch_that_does_not_fit_is_halved_before_the_first_image(
    hungry: Callable[[int], Hungry],
) -> None:
    hungry(8)
    assert engine_of(Doubled(), torch.device("cpu"), 32).batch == 8


def test_threads_that_run_out_of_memory_together_halve_once(
    hungry: Callable[[int], Hungry], monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, together = hungry(32), threading.Barrier(2)
    engine = engine_of(Doubled(), torch.device("cpu"), 32)
    original = FixedBatch.run

    def both(self: FixedBatch, *arguments: Any) -> Any:
        if self.size > memory.limit:
            together.wait(10)  # both hold a lane
        return original(self, *arguments)

    made: list[int] = []
    monkeypatch.setattr(FixedBatch, "run", both)
    monkeypatch.setattr(FixedBatch, "capture", lambda self: made.append(self.size))
    memory.limit = 16
    batches = [images_of(20, 1), images_of(20, 2)]
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(engine.run, batches))
    assert (engine.batch, made) == (16, [16])
    for images_NCHW, outputs in zip(batches, found, strict=True):
        torch.testing.assert_close(outputs["twice"], images_NCHW * 2, rtol=0, atol=0)


def test_an_image_that_never_fits_is_a_fault(hungry: Callable[[int], Hungry]) -> None:
    memory = hungry(4)
    engine = engine_of(Doubled(), torch.device("cpu"))
    memory.limit = 0
    for _ in range(2):
        with pytest.raises(torch.OutOfMemoryError):
            engine.run(images_of(3))
    with pytest.raises(torch.OutOfMemoryError):
        engine_of(Doubled(), torch.device("cpu"))


def test_a_remembered_batch_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def seconds(self: FixedBatch) -> float:
        tried.append(self.size)
        return float(self.size) if self.size > 64 else 1.0

    monkeypatch.setattr(FixedBatch, "seconds", seconds)
    assert engine_of(Doubled(), torch.device("cpu"), None).batch == 64
    assert tried == [32, 64, 128]
    assert engine_of(Doubled(), torch.device("cpu"), 16).batch == 16
    assert tried == [32, 64, 128]


@pytest.mark.parametrize(
    ("seconds_of", "expected"),
    [
        (lambda size: 1.0, 1024),
        (lambda size: 0.1 + size / 1000, 1024),
        (lambda size: float(size), 32),
        (lambda size: max(size, 200) / 1000, 256),
        (lambda size: size / (1000 + size * 0.1), 32),  # less than 3 % a doubling
    ],
)
def test_batches_grow_while_that_pays(seconds_of: Callable[[int], float], expected: int) -> None:
    assert best_size(seconds_of) == expected


@pytest.mark.parametrize(("limit", "expected"), [(300, 256), (32, 32), (8, 32)])
def test_batches_grow_as_far_as_memory_allows(limit: int, expected: int) -> None:
    def seconds_of(size: int) -> float:
        if size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1.0

    assert best_size(seconds_of) == expected


def test_a_network_that_cannot_be_captured_runs_without_a_graph(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def capture(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Host, "capture", capture)
    engine = engine_of(Doubled(), torch.device("cpu"))
    images_NCHW = images_of(6)
    torch.testing.assert_close(engine.run(images_NCHW)["twice"], images_NCHW * 2, rtol=0, atol=0)
    assert engine.name == "cuda"
    assert "not permitted" in caplog.text


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_synchronising_network_runs_without_a_graph() -> None:
    class Synchronising(nn.Module):
        def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
            return {"twice": images_NCHW * (2 if images_NCHW.isfinite().all().item() else 3)}

    engine = engine_of(Synchronising(), torch.device("cuda"))
    for seed in range(3):
        images_NCHW = images_of(6, seed)
        found = engine.run(images_NCHW)["twice"]
        torch.testing.assert_close(found, images_NCHW * 2, rtol=0, atol=0)
    assert engine.name == "cuda"


def test_a_lane_carries_tensors_of_all_kinds(device: torch.device) -> None:
    opened = open_device(device)
    lane = Lane(opened)
    for count in (1, 3, 50, 2):  # memory grows, and is used again
        sent = [torch.arange(count), pixels_of(count)[:, ::2], images_of(count), torch.empty(0, 3)]
        for tensor, there in zip(sent, lane.upload(sent), strict=True):
            assert (there.dtype, there.device.type) == (tensor.dtype, device.type)
            home = lane.download({"x": there})["x"]
            torch.testing.assert_close(home, tensor, rtol=0, atol=0)


def switches() -> tuple[Any, ...]:
    backends: Any = torch.backends
    return (
        backends.cuda.matmul.fp32_precision,
        backends.cudnn.conv.fp32_precision,
        backends.cudnn.rnn.fp32_precision,
        backends.cudnn.deterministic,
    )


def test_tf32_is_off_until_the_last_thread_leaves() -> None:
    before, off = switches(), ("ieee", "ieee", "ieee", True)
    assert before != off
    entered, leave = threading.Event(), threading.Event()

    def other() -> None:
        with exact_float32():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with exact_float32():
        thread.start()
        assert entered.wait(10)
        assert switches() == off
    assert switches() == off, "the other thread is inside"
    leave.set()
    thread.join()
    assert switches() == before


def test_networks_run_without_tf32() -> None:
    seen = []

    class Looking(Doubled):
        def forward(self, images_NCHW: Tensor) -> dict[str, Tensor]:
            seen.append(switches())
            return super().forward(images_NCHW)

    engine_of(Looking(), torch.device("cpu")).run(images_of(3))
    assert set(seen) == {("ieee", "ieee", "ieee", True)}
