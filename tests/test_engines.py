"""Every engine gives the plain network's rows, whatever stands beside them in a batch."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, fx, nn

from cache import networks
from cache.database import Database
from cache.engines import Choice, Engines
from cache.recipe import Tap, Transform
from cache.store import Store
from tests.processes import ROOT
from tests.working import small
from worker.computing import computed
from worker.engines import EngineTask, KeptEngine, Memory, choice, make_engine, replaceable
from worker.engines.compiled import CompiledEngine, can_compile
from worker.engines.eager import EagerEngine
from worker.engines.engine import Engine
from worker.engines.folding import fold
from worker.engines.openvino import OpenVinoEngine, convert
from worker.engines.probe import Probe
from worker.networks import build, run
from worker.pixels.pipeline import Batch
from worker.pixels.transforms import normalise
from worker.tally import Done, Stage, Tally


def task_of(
    network: str = "resnet18", *, layers: tuple[str, ...] = (), rows: int = 1000, **changes: Any
) -> EngineTask:
    """A task on 64 x 64 inputs; ``changes`` are the transform's."""
    chosen = layers or (networks.get(network).default_tap.layer,)
    return EngineTask(network, chosen, small(network, **changes), "float32", rows)


def network_of(task: EngineTask) -> fx.GraphModule:
    return build(task.network, None, 0, task.layers)


def pictures(count: int, transform: Transform) -> Tensor:
    """Prepared images: patches of colour, so that neighbouring pixels agree as in photographs."""
    draw = torch.Generator().manual_seed(count)
    coarse = torch.rand(count, 3, 4, 4, generator=draw)
    images = nn.functional.interpolate(coarse, transform.output_HW, mode="bilinear")
    pixels_NhwC = (images * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return pixels_NhwC if transform.resample == "uint8" else normalise(pixels_NhwC, transform)


def expected(task: EngineTask, images: Tensor) -> dict[str, Tensor]:
    """Each layer's rows from the plain network, one image at a time."""
    network = network_of(task)
    if images.dtype == torch.uint8:
        images = normalise(images, task.transform)
    outputs = [run(network, image[None]) for image in images]
    return {layer: torch.cat([one[layer] for one in outputs]) for layer in task.layers}


def error_of(rows: Tensor, reference: Tensor) -> float:
    """The largest difference of a row, relative to its largest value."""
    rows_ND, reference_ND = rows.flatten(1), reference.flatten(1)
    return float(((rows_ND - reference_ND).abs().amax(1) / reference_ND.abs().amax(1)).max())


def eager(task: EngineTask) -> Engine:
    return EagerEngine(fold(network_of(task)), task)


def openvino(size: int) -> Callable[[EngineTask], Engine]:
    def make(task: EngineTask) -> Engine:
        return OpenVinoEngine(convert(fold(network_of(task)), task), task, threads=2, size=size)

    return make


def compiled(task: EngineTask) -> Engine:
    if not can_compile():
        pytest.skip("torch.compile needs a C++ compiler, and this machine has none")
    return CompiledEngine(fold(network_of(task)), task)


ENGINES = {"eager": eager, "openvino x2": openvino(2), "openvino x8": openvino(8)}
every_engine = pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)


@every_engine
@pytest.mark.parametrize("network", ["resnet18", "mobilenet_v2", "densenet121", "swin_t"])
def test_rows_are_those_of_the_plain_network(
    make: Callable[[EngineTask], Engine], network: str
) -> None:
    task = task_of(network)
    images = pictures(5, task.transform)
    rows = make(task).run(images)
    reference = expected(task, images)
    assert error_of(rows[task.layers[0]], reference[task.layers[0]]) < 2e-5


@every_engine
@pytest.mark.parametrize("channels", ["RGB", "BGR"])
def test_pixels_are_normalised_by_the_engine(
    make: Callable[[EngineTask], Engine], channels: str
) -> None:
    task = task_of(resample="uint8", channels=channels, mean=(0.2, 0.5, 0.7), std=(0.1, 0.2, 0.4))
    images = pictures(3, task.transform)
    assert images.dtype == torch.uint8
    rows = make(task).run(images)["flatten"]
    assert error_of(rows, expected(task, images)["flatten"]) < 2e-5


@every_engine
def test_several_taps_of_one_pass(make: Callable[[EngineTask], Engine]) -> None:
    """A convolution and the BatchNorm behind it: folding must leave them as they are."""
    layers = ("layer1.0.conv1", "layer1.0.bn1", "layer1.0.relu", "layer2.0.conv2", "flatten")
    task = task_of(layers=layers)
    images = pictures(3, task.transform)
    rows, reference = make(task).run(images), expected(task, images)
    assert list(rows) == list(layers)
    for layer in layers:
        assert rows[layer].shape == reference[layer].shape
        assert error_of(rows[layer], reference[layer]) < 2e-5, layer


@every_engine
def test_a_row_depends_neither_on_its_place_nor_on_its_neighbours(
    make: Callable[[EngineTask], Engine],
) -> None:
    task = task_of("mobilenet_v2")
    engine = make(task)
    images = pictures(37, task.transform)
    together = engine.run(images)["flatten"].clone()
    for count in (1, 2, 5, 8, 33):
        assert torch.equal(engine.run(images[:count])["flatten"], together[:count])
        assert torch.equal(engine.run(images[-count:])["flatten"], together[-count:])
    with ThreadPoolExecutor(engine.lanes) as lanes:
        for rows in lanes.map(engine.run, [images] * 4):
            assert torch.equal(rows["flatten"], together)


def test_folding_removes_every_batch_norm_that_follows_a_convolution() -> None:
    network = fold(network_of(task_of("resnet18")))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    dense = fold(network_of(task_of("densenet121")))
    assert any(isinstance(module, nn.BatchNorm2d) for module in dense.modules()), "before a ReLU"


def test_compiled_rows_are_those_of_the_plain_network() -> None:
    task = task_of("squeezenet1_1")
    images = pictures(3, task.transform)
    rows = compiled(task).run(images)[task.layers[0]]
    assert error_of(rows, expected(task, images)[task.layers[0]]) < 2e-5


@pytest.mark.parametrize("network", ["mobilenet_v2", "resnet18", "convnext_tiny"])
def test_fast_keeps_its_bound(network: str) -> None:
    task = replace(task_of(network), compute="fast")
    images = pictures(6, task.transform)
    rows = openvino(2)(task).run(images)[task.layers[0]].flatten(1)
    reference = expected(task, images)[task.layers[0]].flatten(1)
    cosine = torch.cosine_similarity(rows / reference.norm(), reference / reference.norm())
    assert float(cosine.min()) > 0.999


def test_depthwise_convolutions_stay_float32_under_fast() -> None:
    task = replace(task_of("mobilenet_v2"), compute="fast")
    from openvino import Core  # after our own import, which keeps it quiet

    model = convert(fold(network_of(task)), task)
    model.reshape([1, 3, 64, 64])
    options = {"INFERENCE_PRECISION_HINT": "bf16"}
    running = Core().compile_model(model, "CPU", options).get_runtime_model()
    kinds = [node.get_rt_info()["primitiveType"].astype(str) for node in running.get_ops()]
    depthwise = [kind for kind in kinds if "_dw_" in kind]
    if not depthwise:
        pytest.skip("this processor has no kernels for depthwise convolutions")
    assert len(depthwise) == 17
    assert {kind.rpartition("_")[2] for kind in depthwise} == {"f32"}


SIGNALLED = """
import gc, os, signal, threading
from tests import test_engines

heard = []
signal.signal(signal.SIGUSR1, lambda *_: heard.append(True))
engines = [test_engines.openvino(2)(test_engines.task_of())]

def drop():
    engines.clear()
    gc.collect()

other = threading.Thread(target=drop)
other.start()
other.join()
os.kill(os.getpid(), signal.SIGUSR1)
assert heard
"""


def test_a_thread_survives_signals_when_another_has_dropped_its_engine() -> None:
    """OpenVINO's plugin gives a thread a stack for signals, and takes it away with the plugin."""
    subprocess.run([sys.executable, "-c", SIGNALLED], check=True, cwd=ROOT, timeout=120)


def test_openvino_tells_nobody_that_it_runs() -> None:
    code = "import worker.engines.openvino, sys; print(sys.modules['openvino_telemetry'])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "None"


def test_pytorch_computes_depthwise_convolutions_in_float32(memory: Memory) -> None:
    """Also of a small job under ``fast``."""
    names = {}
    for network in ("mobilenet_v2", "convnext_tiny", "resnet18", "resnext50_32x4d"):
        names[network] = chosen(replace(task_of(network, rows=10), compute="fast"), memory).name
    assert names == {
        "mobilenet_v2": "eager",
        "convnext_tiny": "eager",
        "resnet18": "eager bfloat16",
        "resnext50_32x4d": "eager bfloat16",
    }


@pytest.fixture
def memory(store: Store) -> Iterator[Memory]:
    database = Database(f"sqlite:///{store.root / 'featurepack.db'}")
    database.migrate()
    yield Memory(Engines(database), "a machine")
    database.close()


def chosen(task: EngineTask, memory: Memory) -> Engine:
    return make_engine(network_of(task), task, torch.device("cpu"), 2, memory)


def test_a_small_job_is_not_worth_measuring(memory: Memory) -> None:
    task = task_of(rows=255)
    assert chosen(task, memory).name == "eager"
    assert memory.find(task, 2) is None


def test_the_choice_is_measured_once(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(rows=256)
    engine = chosen(task, memory)
    kept = memory.find(task, 2)
    assert kept is not None
    assert kept.engine == engine.name
    assert set(kept.rates) == {"openvino f32 x2", "openvino f32 x8", "eager"}
    assert all(rate > 0 for rate in kept.rates.values())
    monkeypatch.setattr(choice, "Probe", None)
    assert chosen(replace(task, rows=5000), memory).name == engine.name
    assert memory.find(task, 1) is None, "another number of threads is measured by itself"
    assert memory.find(replace(task, compute="fast"), 2) is None
    assert Memory(memory.engines, "another machine").find(task, 2) is None


def test_the_fastest_is_chosen(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of()
    for fastest in ("eager", "openvino f32 x8", "openvino f32 x2"):
        rates = {"openvino f32 x2": 50.0, "openvino f32 x8": 51.0, "eager": 20.0}
        rates |= {fastest: 100.0}
        monkeypatch.setattr(Probe, "images_per_second", lambda *_, rates=rates: rates)
        memory.keep(task, 2, Choice(""))
        assert chosen(task, memory).name == fastest


def test_an_engine_beyond_the_bound_is_not_chosen(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = OpenVinoEngine.run

    def wrong(self: OpenVinoEngine, images: Tensor) -> dict[str, Tensor]:
        return {layer: rows * 1.0001 for layer, rows in right(self, images).items()}

    monkeypatch.setattr(OpenVinoEngine, "run", wrong)
    task = task_of()
    assert chosen(task, memory).name == "eager"
    assert set(memory.find(task, 2).rates) == {"eager"}  # type: ignore[union-attr]


def test_what_openvino_cannot_take_runs_eagerly(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any) -> None:
        raise RuntimeError("an operation that nobody knows")

    monkeypatch.setattr("worker.engines.openvino.convert", unknown)
    assert chosen(task_of(), memory).name == "eager"


def test_a_refused_engine_is_not_chosen_again(memory: Memory) -> None:
    task = task_of()
    for engine in ("openvino f32 x2", "openvino f32 x8"):
        memory.refuse(task, 2, engine)
    assert chosen(task, memory).name == "eager"
    kept = memory.find(task, 2)
    assert kept is not None
    assert kept.refused == ("openvino f32 x2", "openvino f32 x8")


def test_a_gpu_keeps_the_batch_that_was_found_for_it(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    class OnGpu:
        name, batch, lanes = "cuda graph", 256, 2

        def __init__(self, *given: Any) -> None:
            asked.append(given[-1])

    monkeypatch.setattr(choice, "CudaEngine", OnGpu)
    for rows in (10, 5000):
        task = task_of(rows=rows)
        make_engine(network_of(task), task, torch.device("cuda", 1), 2, memory)
    assert asked == [None, 256]


def test_what_a_gpu_gets_wrong_under_fast_is_done_in_float32(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    computes: list[str] = []

    class OnGpu:
        batch, lanes = 256, 2

        def __init__(self, *given: Any) -> None:
            computes.append(given[1].compute)
            self.name = "cuda graph bfloat16" if computes[-1] == "fast" else "cuda graph"

    monkeypatch.setattr(choice, "CudaEngine", OnGpu)
    gpu, task = torch.device("cuda", 1), replace(task_of(), compute="fast")
    engine = make_engine(network_of(task), task, gpu, 2, memory)
    assert replaceable(engine.name, gpu)
    memory.refuse(task, 2, engine.name)
    for _ in range(2):
        engine = make_engine(network_of(task), task, gpu, 2, memory)
        assert not replaceable(engine.name, gpu)
    assert computes == ["fast", "float32", "float32"]


def test_one_engine_is_kept() -> None:
    kept, made = KeptEngine(), []

    def make() -> Any:
        made.append(object())
        return made[-1]

    assert kept.get("a", make) is kept.get("a", make)
    assert kept.get("b", make) is not kept.get("a", make)
    assert len(made) == 3
    kept.drop()
    kept.get("a", make)
    assert len(made) == 4


class Slow:
    """Two lanes that must work at the same time; the rows are the images' first values."""

    name, batch, lanes = "slow", 2, 2

    def __init__(self) -> None:
        self._both = threading.Barrier(2, timeout=20)

    def run(self, images: Tensor) -> dict[str, Tensor]:
        self._both.wait()
        return {"x": images.flatten(1)[:, :1]}


def batches(count: int, fails: bool = False) -> Iterator[Batch]:
    for number in range(count):
        rows = np.arange(2) + 2 * number
        images = torch.full((2, 3, 1, 1), float(number))
        yield Batch(rows, images, np.ones(2, bool), {}, 0.5)
    if fails:
        raise OSError("the disk")


def test_lanes_work_together_and_batches_keep_their_order() -> None:
    tally = Tally(rows_total=12)
    found = list(computed(Slow(), batches(6), [Tap("x")], tally))
    assert [one.batch.row_N[0] for one in found] == [0, 2, 4, 6, 8, 10]
    assert [float(one.features[0][0, 0]) for one in found] == [0, 1, 2, 3, 4, 5]


def test_batches_before_a_fault_are_computed() -> None:
    tally = Tally(rows_total=12)
    results = computed(Slow(), batches(4, fails=True), [Tap("x")], tally)
    assert [next(results).batch.row_N[0] for _ in range(4)] == [0, 2, 4, 6]
    with pytest.raises(OSError, match="the disk"):
        next(results)


def test_the_stage_that_is_waited_for_limits_the_job() -> None:
    tally = Tally(rows_total=4)
    assert tally.limited_by is None
    waits: dict[Stage, float] = {"decode": 1.0, "compute": 3.0, "write": 2.0}
    tally.add(Done(np.arange(4), {}, 1.0, 1.0, waits))
    assert tally.limited_by == "compute"
    assert tally.progress("extracting")["limited_by"] == "compute"
    assert tally.timers()["write_seconds"] == 2.0
