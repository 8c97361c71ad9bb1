"""What the CUDA engine makes of a GPU: ``python -m bench.cuda``.

For each network, with random weights: the forward pass alone in three precisions, called as it is,
as a CUDA graph, compiled, and compiled as a graph (the best of them is the limit); our engine end
to end, from arrays of pixels and from JPEG files; how far its features are from the CPU's. Besides
how many images the cores decode, and what nvJPEG would give. Limits are those of the engine's own
batch. What ``--minutes`` leaves no time for is left out, compiling first. Results are written
after every step, so nothing is lost if it is stopped.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
import torchvision

from bench.cuda_checks import (
    distance,
    features,
    nvjpeg_pixels_of,
    nvjpeg_rate,
    pixels_of,
    same_bits_anywhere,
)
from bench.cuda_images import array_dataset, jpeg_folder
from bench.cuda_limits import PRECISIONS, Forward
from bench.cuda_rates import ROWS, Rates
from cache import networks
from cache.dataset import Manifest
from cache.recipe import Compute, Transform
from cache.store import Store
from worker.allocator import keep_freed_memory
from worker.devices import device_names
from worker.engines import EngineTask
from worker.engines.cuda import CudaEngine
from worker.engines.streams import open_device
from worker.networks import build, run
from worker.pixels.image_reader import ImageReader
from worker.pixels.transforms import normalise

NETWORKS = ("vgg16", "inception_v3", "resnet50", "mobilenet_v2", "convnext_base", "vit_b_16")
CHECKED = 16
CPU_BATCH = 8
"""Looking for the best one takes a CPU minutes."""

COMPILE_SECONDS = 75
"""Compiling cannot be interrupted: it is begun only if so much time is left."""

LIMIT_OF: dict[Compute, str] = {"float32": "float32", "fast": "bfloat16"}


@dataclass
class Bench:
    """The arguments, the datasets, and what is found."""

    options: argparse.Namespace
    store: Store
    device: torch.device
    began: float = field(default_factory=time.monotonic)
    found: dict[str, Any] = field(default_factory=dict)

    @property
    def rates(self) -> Rates:
        return Rates(self.store, self.options.threads, self.options.seconds)

    def note(self, *path: str, value: Any) -> None:
        """Print a result and write all of them."""
        print(f"{time.monotonic() - self.began:6.1f} s  {' / '.join(path)}: {value}", flush=True)
        place = self.found
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
        self.options.out.parent.mkdir(parents=True, exist_ok=True)
        self.options.out.write_text(json.dumps(self.found, indent=1) + "\n")

    def is_late(self, needed: float) -> bool:
        until = self.began + float(self.options.minutes) * 60
        return time.monotonic() + needed > until


def as_it_is(official: Transform) -> Transform:
    """For pixels of the input's size already."""
    return replace(official, resize="stretch", size=official.output_HW, crop=None)


def engine_for(bench: Bench, name: str, compute: Compute, transform: Transform) -> CudaEngine:
    tap = networks.get(name).default_tap
    network = build(name, None, 0, [tap.layer])
    task = EngineTask(name, (tap.layer,), transform, compute, ROWS)
    return CudaEngine(network, task, bench.device, remembered=bench.options.batch)


def measure(bench: Bench, name: str, files: list[bytes], jpegs: Manifest, arrays: Manifest) -> None:
    """One network's engines and its limits without compiling."""
    info = networks.get(name)
    tap, official = info.default_tap, networks.official_transform(info)
    images = pixels_of(files, official)
    reference = run(build(name, None, 0, [tap.layer]), normalise(images, official))
    reference_ND = features(reference, tap)
    for compute in LIMIT_OF:
        began = time.perf_counter()
        engine = engine_for(bench, name, compute, official)
        facts: dict[str, Any] = {
            "engine": engine.name,
            "batch": engine.batch,
            "seconds_to_make": time.perf_counter() - began,
            "same_bits_anywhere": same_bits_anywhere(engine, images, tap),
        } | distance(features(engine.run(images), tap), reference_ND)
        for source, manifest, transform in (
            ("arrays", arrays, as_it_is(official)),
            ("jpeg", jpegs, official),
        ):
            rate = bench.rates.end_to_end(engine, manifest, transform, tap)
            facts[f"images_per_second_from_{source}"] = rate
        bench.note("networks", name, compute, value=facts)
        if compute == "float32":
            pixels, difference = nvjpeg_pixels_of(files, official, bench.device)
            there_ND = features(engine.run(pixels), tap)
            bench.note(
                "networks", name, "nvjpeg", value=difference | distance(there_ND, reference_ND)
            )
    for precision in PRECISIONS:
        limit(bench, name, precision, compiled=False)


def limit(bench: Bench, name: str, precision: str, *, compiled: bool) -> None:
    """Rates of the forward pass, beside those that are known already."""
    info = networks.get(name)
    entry = bench.found["networks"][name]
    network = build(name, None, 0, [info.default_tap.layer]).to(bench.device)
    compute = "fast" if precision == "bfloat16" else "float32"
    size = entry[compute]["batch"]
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    forward = Forward(network, open_device(bench.device), size, info.input_size)
    try:
        rates = forward.rates(precision, bench.options.seconds, compiled=compiled)
    except Exception as error:  # one way less; the others still tell something
        rates = {}
        print(f"  {name} {precision} {compiled=}: {error!r}", flush=True)
    known = entry.get("limits", {}).get(precision, {})
    bench.note("networks", name, "limits", precision, value=known | rates)


def fractions(bench: Bench, name: str) -> None:
    """What the engine makes of the limit: end to end, of the best way's rate."""
    entry = bench.found["networks"][name]
    for compute, precision in LIMIT_OF.items():
        best = max(entry["limits"][precision].values(), default=0.0)
        for source in ("arrays", "jpeg"):
            if best:
                share = entry[compute][f"images_per_second_from_{source}"] / best
                bench.note("networks", name, compute, f"fraction_of_limit_{source}", value=share)


def facts(bench: Bench) -> dict[str, Any]:
    cudnn: Callable[[], int | None] = torch.backends.cudnn.version
    return {
        "command": " ".join(["python -m bench.cuda", *sys.argv[1:]]),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": device_names([bench.device]),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "torchvision": torchvision.__version__,
            "cuda": torch.version.cuda,
            "cudnn": cudnn() if bench.device.type == "cuda" else None,
        },
    }


def measure_all(bench: Bench) -> None:
    options = bench.options
    bench.found |= facts(bench)
    jpegs = jpeg_folder(bench.store, options.images)
    with ImageReader(jpegs, bench.store) as reader:
        read = [reader.read(row) for row in range(min(CHECKED, len(jpegs)))]
    files = [data for data in read if isinstance(data, bytes)]
    official = networks.official_transform(networks.get("resnet50"))
    found = bench.rates.decoding(jpegs, official)
    bench.note("decode", "images_per_second_of_all_cores", value=found)
    bench.note(
        "decode",
        "nvjpeg_images_per_second",
        value=nvjpeg_rate(files, bench.device, options.seconds),
    )
    arrays: dict[int, Manifest] = {}
    for name in options.networks:
        side = networks.get(name).input_size[0]
        if side not in arrays:
            arrays[side] = array_dataset(bench.store, options.images, side)
        measure(bench, name, files, jpegs, arrays[side])
        fractions(bench, name)
    for precision in ("bfloat16", "float32", "tf32"):
        for name in options.networks:
            if options.no_compile or bench.is_late(COMPILE_SECONDS):
                print(f"  {name} {precision} is not compiled: no time", flush=True)
                continue
            limit(bench, name, precision, compiled=True)
            fractions(bench, name)
            torch.compiler.reset()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS))
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--minutes", type=float, default=8.5, help="of all of them")
    parser.add_argument("--images", type=int, default=512, help="in each dataset")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--batch", type=int, help="instead of the one that is found")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("bench/results/cuda.json"))
    options = parser.parse_args(arguments)
    keep_freed_memory()
    if options.device == "cpu" and options.batch is None:
        options.batch = CPU_BATCH
    with tempfile.TemporaryDirectory() as folder:
        data_root = Path(folder) / "data"
        data_root.mkdir()
        store = Store(Path(folder) / "store", data_root).create()
        measure_all(Bench(options, store, torch.device(options.device)))


if __name__ == "__main__":
    main()
