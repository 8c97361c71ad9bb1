"""The part of a forward pass that any process can do: compute rows, and write them.

:class:`Work` is all that it needs to know, as plain values; :func:`compute` does it. Shapes: N
rows of the dataset, R rows to compute.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

from cache.origin import Origin, current
from cache.pack_writer import Mask, PackWriter, Rows
from cache.recipe import Recipe, Tap
from worker.building import write_needed
from worker.computing import features
from worker.context import Context
from worker.engines import EngineTask
from worker.pixels.image_reader import ImageReader
from worker.tally import Done, Tally


@dataclass(frozen=True)
class Target:
    """The file of a pack that is being built, and the rows [N] that it needs computed."""

    path: Path
    tap: Tap
    needed_N: Mask


@dataclass(frozen=True)
class Work:
    """A pass over the rows ``row_R``, for one or more packs; ``origin`` is for log lines."""

    dataset_id: str
    recipe: Recipe
    task: EngineTask
    targets: tuple[Target, ...]
    row_R: Rows
    origin: Origin = field(default_factory=current)


@dataclass(frozen=True)
class Loaded:
    """The engine that is going to compute."""

    name: str
    batch: int


def compute(
    context: Context,
    work: Work,
    reader: ImageReader,
    writers: Sequence[PackWriter],
    portions: Iterable[Rows],
    tell: Callable[[str], None],
) -> Generator[Loaded | Done]:
    """Compute portions of the work's rows, and write them into the packs' files.

    Raises:
        CorruptData: an image's bytes are not those that were registered, or a value of a row is
            not finite.
        Unavailable: a passing fault.
    """
    engine = context.engine(work.recipe, work.task, tell)
    yield Loaded(engine.name, engine.batch)
    tally, taps = Tally(len(work.row_R)), [target.tap for target in work.targets]
    tally.begin(len(work.row_R))
    with closing(features(context, reader, work.recipe, taps, engine, tally, portions)) as found:
        for done in found:
            batch = done.batch
            with tally.waiting("write"):
                for target, writer, rows in zip(work.targets, writers, done.features, strict=True):
                    write_needed(writer, target.needed_N, batch.row_N, rows, batch.valid_N)
            waits = tally.take_waits()
            yield Done(batch.row_N, batch.broken, batch.decode_seconds, done.seconds, waits)


def help_with(
    context: Context, work: Work, portions: Iterable[Rows], tell: Callable[[str], None]
) -> Generator[Loaded | Done]:
    """:func:`compute` in another process than the job's, which shares the packs' files.

    Raises:
        LeaseLost: another worker has taken a pack over.
    """
    manifest = context.store.load_manifest(work.dataset_id)
    with ExitStack() as stack:
        reader = stack.enter_context(ImageReader(manifest, context.store))
        writers = [stack.enter_context(PackWriter.join(one.path)) for one in work.targets]
        yield from compute(context, work, reader, writers, portions, tell)
