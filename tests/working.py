"""A worker inside the test: its context, datasets from folders, extraction by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from cache import networks
from cache.dataset import Manifest
from cache.engines import Choice
from cache.job import Job, NewJob
from cache.jobs import Jobs
from cache.recipe import Numerics, Recipe, Tap, Transform, pack_id
from cache.sight import EVERYTHING, UNOWNED
from cache.store import Store
from worker import context as worker_context
from worker.context import Context, open_context
from worker.engines import EngineTask
from worker.engines.engine import SMALL_JOB
from worker.ingest import IngestLimits, ingest
from worker.loop import step
from worker.settings import WorkerSettings
from worker.tasks import EXTRACTION


@contextmanager
def working(store: Store, **changes: Any) -> Iterator[Context]:
    """A worker's context over ``store`` and an SQLite database in it."""
    settings = WorkerSettings(
        store=store, database_url=f"sqlite:///{store.root / 'featurepack.db'}", device="cpu"
    )
    context = open_context(replace(settings, **({"threads": 2} | changes)))
    try:
        yield context
    finally:
        context.close()


def small(network: str = "resnet18", side: int = 64, **changes: Any) -> Transform:
    """The stretch preset at a size that a test can afford."""
    stretch = networks.stretch_transform(networks.get(network))
    return replace(stretch, size=(side, side), **changes)


def recipe_of(
    network: str = "resnet18",
    tap: Tap | None = None,
    transform: Transform | None = None,
    weights: str = "random:0",
    numerics: Numerics | None = None,
) -> Recipe:
    info = networks.get(network)
    return Recipe(
        network,
        weights,
        tap or info.default_tap,
        transform or small(network),
        numerics or Numerics(),
    )


def register(store: Store, folder: Path) -> Manifest:
    """The images below ``folder`` (inside the data root) as a kept manifest."""
    assert store.data_root is not None
    path = str(folder.relative_to(store.data_root))
    return ingest({"kind": "folder", "path": path}, store, IngestLimits(1 << 30), None)


def submit(
    context: Context, manifest: Manifest, recipes: Sequence[Recipe], on_error: str = "mask"
) -> list[Job]:
    context.store.save_manifest(manifest)
    jobs = []
    for recipe in recipes:
        new_id = pack_id(recipe.recipe_id, manifest.dataset_id)
        spec = {
            "pack_id": new_id,
            "recipe": recipe.as_dict(),
            "dataset_id": manifest.dataset_id,
            "dataset": {"name": "test", "version": 1, "view": None},
            "on_error": on_error,
        }
        together = f"{recipe.forward_id}-{manifest.dataset_id}"
        new = NewJob("extract", f"extract:{new_id}", spec, UNOWNED, together)
        job = Jobs(context.database).submit(new, lambda _: None)
        assert isinstance(job, Job)
        jobs.append(job)
    return jobs


def remember(context: Context, name: str, *recipes: Recipe) -> None:
    """As if this engine had been the fastest for a pass over many images."""
    layers, first = tuple(recipe.tap.layer for recipe in recipes), recipes[0]
    compute = first.numerics.compute
    task = EngineTask(first.network, layers, first.transform, compute, SMALL_JOB)
    context.engine_memory.keep(task, context.threads, Choice(name))


def build(
    context: Context, manifest: Manifest, *recipes: Recipe, on_error: str = "mask"
) -> list[Job]:
    """Submit and work until nothing is left; the jobs as they ended."""
    jobs = submit(context, manifest, recipes, on_error)
    while step(context, EXTRACTION):
        pass
    return [Jobs(context.database).get(job.id, EVERYTHING) for job in jobs]


def plain_network(name: str, seed: int) -> torch.nn.Module:
    """The whole network as torchvision initialises it after ``manual_seed``."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torchvision.models.get_model(name, weights=None).eval()


def count_images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Images that go through networks from now on, batch by batch."""
    images: list[int] = []
    original = worker_context.make_engine

    def counting(*arguments: Any) -> Any:
        engine = original(*arguments)
        run = engine.run

        def counted(images_NCHW: torch.Tensor) -> dict[str, torch.Tensor]:
            if images_NCHW.any():  # not the run on zeros that tells a row's shape
                images.append(len(images_NCHW))
            return run(images_NCHW)

        engine.run = counted
        return engine

    monkeypatch.setattr(worker_context, "make_engine", counting)
    return images
