"""What the worker's engine gives when images are in memory already and all its lanes are busy."""

from __future__ import annotations

from worker.allocator import keep_freed_memory

keep_freed_memory()  # as a worker does, before torch allocates anything

import time  # noqa: E402
from concurrent.futures import ThreadPoolExecutor  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402

from bench.extraction.contending import Turn, take_turns  # noqa: E402
from cache import networks  # noqa: E402
from cache.database import Database  # noqa: E402
from cache.engines import Engines  # noqa: E402
from cache.store import Store  # noqa: E402
from worker.checkpoints import load_state_dict  # noqa: E402
from worker.devices import choose_devices  # noqa: E402
from worker.engines import EngineTask, Memory, make_engine  # noqa: E402
from worker.networks import build, pool  # noqa: E402
from worker.pixels.transforms import prepare  # noqa: E402
from worker.settings import WorkerSettings  # noqa: E402
from worker.weights import locate  # noqa: E402


def load(spec: dict[str, Any]) -> Turn:
    """The engine that a job of ``spec`` would get, having run one batch per lane."""
    threads = WorkerSettings.from_env().threads
    torch.set_num_threads(threads)
    info = networks.get(spec["network"])
    preset = {"official": networks.official_transform, "stretch": networks.stretch_transform}
    state, seed, published = None, None, None
    if spec["weights"].startswith("random:"):
        seed = int(spec["weights"].partition(":")[2])
    else:
        published = info.weights_named(spec["weights"])
        folder = Path(spec["weights_dir"]) if spec["weights_dir"] else None
        store = Store(Path(spec["scratch"]))
        state = load_state_dict(
            locate(published.identity, network=info, weights_dir=folder, store=store)
        )
    transform = preset[spec["preset"]](info, published)
    tap = info.default_tap
    task = EngineTask(info.name, (tap.layer,), transform, spec["compute"], spec["images"])
    network = build(info.name, state, seed, [tap.layer])
    engine = make_engine(network, task, choose_devices("auto")[0], threads, _memory(spec))
    pixels_NHWC = np.random.default_rng(0).integers(
        0, 256, (engine.batch, *transform.output_HW, 3), np.uint8
    )
    images = prepare(pixels_NHWC, transform)

    def lane(seconds: float) -> tuple[int, float]:
        """Images of one thread that runs batch after batch, and how long it took."""
        began, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - began) < seconds or not count:
            pool(engine.run(images)[tap.layer], tap.pool).cpu()
            count += len(images)
        return count, elapsed

    def turn(seconds: float = spec["seconds"]) -> dict[str, Any]:
        with ThreadPoolExecutor(engine.lanes) as lanes:
            done = list(lanes.map(lane, [seconds] * engine.lanes))
        images_done = sum(count for count, _ in done)
        rate = sum(count / elapsed for count, elapsed in done)
        return {
            "images": images_done,
            "seconds": images_done / rate,
            "first_row_seconds": None,
            "facts": {"engine": engine.name, "batch": engine.batch, "lanes": engine.lanes},
        }

    turn(0.0)
    return turn


def _memory(spec: dict[str, Any]) -> Memory:
    """Nothing is remembered: the engine is chosen as by a worker's first job."""
    database = Database(f"sqlite:///{spec['scratch']}/engines.db")
    database.migrate()
    return Memory(Engines(database), "bench")


if __name__ == "__main__":
    take_turns(load)
