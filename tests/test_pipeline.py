"""Threads and processes give the same batches, in bounded memory, and die as they should."""

from __future__ import annotations

import gc
import io
import multiprocessing
import os
import select
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from cache.dataset import Manifest
from cache.errors import CorruptData, TooLarge, Unavailable
from cache.recipe import Transform
from cache.store import Store
from tests.serving import zipped
from tests.test_ingest import ingest, put_folder, upload
from worker.pixels import pipeline, slots
from worker.pixels.image_reader import ImageReader
from worker.pixels.pipeline import Batch, Group, batches
from worker.pixels.transforms import apply, empty_images, normalise, resize_on

ROOT = Path(__file__).parents[1]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
STRETCH = Transform("stretch", (40, 48), None, "bilinear", True, "float32", MEAN, STD)
OFFICIAL = Transform("shorter", (48,), (40, 40), "bilinear", True, "uint8", MEAN, STD)
MANY = 2
"""Each process that needs torch takes seconds to load it, so there are two."""


@pytest.fixture(autouse=True)
def processes_from_two_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "LEAST_ROWS", 0)
    monkeypatch.setattr(pipeline, "MOST_THREADS", 1)


def encoded(height: int, width: int, kind: str, seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def files(count: int) -> dict[str, bytes]:
    """Three shapes, two formats, one broken file, one sliver."""
    found = {}
    for number in range(count):
        side = [(32, 32), (32, 32), (70, 50)][number % 3]
        kind = ["PNG", "JPEG"][number % 2]
        found[f"train/cat/{number:03}.{kind.lower()}"] = encoded(*side, kind, number)
    found["train/cat/017.png"] = b"junk"
    found["train/cat/018.jpeg"] = encoded(1400, 1000, "JPEG", 0)
    return found


def in_blob(store: Store) -> Manifest:
    return ingest(upload(store, ("a.zip", zipped(files(40)))), store)


def in_folder(store: Store) -> Manifest:
    return ingest(put_folder(store, files(40)), store)


def all_batches(manifest: Manifest, store: Store, **options: Any) -> list[Batch]:
    rows = np.arange(len(manifest), dtype=np.int64)
    with ImageReader(manifest, store) as reader:
        return list(batches(reader, portions=[rows], rows=len(rows), size=12, **options))


@pytest.mark.parametrize(
    ("source", "transform"), [(in_blob, STRETCH), (in_blob, OFFICIAL), (in_folder, OFFICIAL)]
)
def test_processes_give_what_threads_give(store: Store, source: Any, transform: Transform) -> None:
    manifest = source(store)
    threads = all_batches(manifest, store, transform=transform, threads=1)
    processes = all_batches(manifest, store, transform=transform, threads=MANY)
    assert [len(batch.row_N) for batch in threads] == [12, 12, 12, 6]
    for one, other in zip(threads, processes, strict=True):
        np.testing.assert_array_equal(one.row_N, other.row_N)
        np.testing.assert_array_equal(one.valid_N, other.valid_N)
        assert torch.equal(one.images, other.images)
        assert {row: type(error) for row, error in one.broken.items()} == {
            row: type(error) for row, error in other.broken.items()
        }
    assert [row for batch in processes for row in batch.broken] == [
        manifest.row_id_N.index("train/cat/017.png")
    ]


@pytest.mark.parametrize("threads", [1, MANY])
@pytest.mark.parametrize("transform", [STRETCH, OFFICIAL], ids=["stretch", "official"])
def test_each_row_is_its_images(store: Store, threads: int, transform: Transform) -> None:
    manifest = in_folder(store)
    with ImageReader(manifest, store) as reader:
        for batch in all_batches(manifest, store, transform=transform, threads=threads):
            images = batch.images
            images = normalise(images, transform) if images.dtype == torch.uint8 else images
            for place, row in enumerate(batch.row_N.tolist()):
                if batch.valid_N[place]:
                    expected = apply(reader.decode_row(row), transform)
                    torch.testing.assert_close(images[place], expected, atol=1e-6, rtol=0)
                else:
                    assert not batch.images[place].any()


def as_inputs(batch: Batch) -> torch.Tensor:
    """What an engine makes of groups."""
    inputs = empty_images(len(batch.row_N), STRETCH)
    for group in batch.images:
        assert isinstance(group, Group)
        later = group.pixels.dtype == torch.uint8
        inputs[group.places_n] = resize_on(group.pixels, STRETCH) if later else group.pixels
    return inputs


@pytest.mark.parametrize("threads", [1, MANY])
def test_sources_can_be_resized_later(store: Store, threads: int) -> None:
    manifest = in_folder(store)
    at_once = all_batches(manifest, store, transform=STRETCH, threads=1)
    later = all_batches(manifest, store, transform=STRETCH, threads=threads, resize_later=True)
    shapes = [sorted(tuple(g.pixels.shape[1:]) for g in batch.images) for batch in later]
    assert shapes[0] == [(32, 32, 3), (70, 50, 3)]
    assert (3, 40, 48) in shapes[1]  # a megapixel is resized here
    for one, other in zip(at_once, later, strict=True):
        torch.testing.assert_close(as_inputs(other), one.images, atol=1e-6, rtol=0)
        np.testing.assert_array_equal(one.valid_N, other.valid_N)
    assert sum(len(g.places_n) for batch in later for g in batch.images) == len(manifest) - 1


@pytest.mark.parametrize("threads", [1, MANY])
def test_pixels_of_uint8_recipes_are_never_left_for_later(store: Store, threads: int) -> None:
    found = all_batches(
        in_folder(store), store, transform=OFFICIAL, threads=threads, resize_later=True
    )
    assert all(batch.images.dtype == torch.uint8 for batch in found)


@pytest.mark.parametrize("threads", [1, MANY])
def test_a_source_that_cannot_be_resized_is_broken(store: Store, threads: int) -> None:
    sliver = encoded(60_000, 1, "PNG", 0)
    manifest = ingest(put_folder(store, {"train/cat/a.png": sliver, **files(20)}), store)
    transform = Transform("shorter", (256,), (40, 40), "bilinear", True, "float32", MEAN, STD)
    for later in (False, True):
        found = all_batches(
            manifest, store, transform=transform, threads=threads, resize_later=later
        )
        broken = {row: error for batch in found for row, error in batch.broken.items()}
        assert isinstance(broken[manifest.row_id_N.index("train/cat/a.png")], TooLarge)


@pytest.mark.parametrize("threads", [1, MANY])
def test_bytes_that_changed_end_it(store: Store, threads: int) -> None:
    manifest = in_folder(store)
    assert store.data_root
    (store.data_root / "set" / manifest.row_id_N[20]).write_bytes(b"other")
    with pytest.raises(CorruptData, match="changed since it was registered") as caught:
        all_batches(manifest, store, transform=OFFICIAL, threads=threads)
    assert caught.value.value
    assert "register" in caught.value.remedy


@pytest.mark.parametrize("threads", [1, MANY])
def test_a_disk_that_does_not_answer_is_unavailable(
    store: Store, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = in_folder(store)
    assert store.data_root
    loop = store.data_root / "set" / manifest.row_id_N[3]
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    loop.chmod(0)
    with pytest.raises(Unavailable, match="cannot be read"):
        all_batches(manifest, store, transform=OFFICIAL, threads=threads)


def rows_of(manifest: Manifest, times: int) -> np.ndarray:
    return np.tile(np.arange(len(manifest), dtype=np.int64), times)


def test_a_process_that_dies_is_a_passing_fault(store: Store) -> None:
    manifest = in_blob(store)
    with ImageReader(manifest, store) as reader:
        found = batches(reader, OFFICIAL, [rows_of(manifest, 50)], rows=50, size=12, threads=MANY)
        with closing(found):
            next(found)
            for child in multiprocessing.active_children():
                assert child.pid
                os.kill(child.pid, signal.SIGKILL)
            with pytest.raises(Unavailable, match="died"):
                list(found)
    assert not multiprocessing.active_children()


def test_ending_early_ends_the_processes(store: Store) -> None:
    manifest = in_blob(store)
    with ImageReader(manifest, store) as reader:
        with closing(
            batches(reader, OFFICIAL, [rows_of(manifest, 5)], rows=5, size=12, threads=MANY)
        ) as all_:
            next(all_)
            assert multiprocessing.active_children()
        assert not multiprocessing.active_children()


def test_slots_are_used_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    take = slots.Slots.take
    monkeypatch.setattr(slots.Slots, "take", lambda self: taken.append(s := take(self)) or s)
    manifest = in_blob(store)
    with ImageReader(manifest, store) as reader:
        found = batches(reader, OFFICIAL, [rows_of(manifest, 10)], rows=10, size=12, threads=MANY)
        count = sum(1 for _ in found)
    assert len(taken) == count
    ahead = 1 + -(-2 * MANY * pipeline.PIECE // 12)
    assert max(taken) <= ahead + 1  # one is held by the loop


def test_whoever_keeps_all_batches_has_them_unchanged(store: Store) -> None:
    manifest = in_blob(store)
    rows = rows_of(manifest, 10)
    with ImageReader(manifest, store) as reader:
        kept = list(batches(reader, OFFICIAL, [rows], rows=len(rows), size=12, threads=MANY))
        assert len(kept) > slots.LENT
        for one, other in zip(
            kept, batches(reader, OFFICIAL, [rows], rows=len(rows), size=12, threads=1), strict=True
        ):
            assert torch.equal(one.images, other.images)


def test_a_lent_slot_comes_back_when_its_last_view_is_gone() -> None:
    room = slots.Slots(1, 100)
    slot = room.take()
    tensor = torch.from_numpy(room.lend(slot, np.uint8, (10, 10)))
    view = tensor[2:].permute(1, 0)
    del tensor
    gc.collect()
    others = [room.take() for _ in range(slots.LENT)]
    assert slot not in others
    room.give_back(others.pop())
    del view
    gc.collect()
    assert room.take() == slot
    room.memory.close()


def test_processes_need_no_torch() -> None:
    code = "import sys; import worker.pixels.decode_processes; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


SCRIPT = """
import multiprocessing, sys, time
import numpy as np
from pathlib import Path
from cache.store import Store
from tests import test_pipeline
from worker.pixels import pipeline
from worker.pixels.image_reader import ImageReader
pipeline.LEAST_ROWS, pipeline.MOST_THREADS = 0, 1
store = Store(Path(sys.argv[1]))
manifest = store.load_manifest(sys.argv[2])
rows = test_pipeline.rows_of(manifest, 10**4)
with ImageReader(manifest, store) as reader:
    found = pipeline.batches(
        reader,
        test_pipeline.OFFICIAL,
        [rows],
        rows=len(rows),
        size=12,
        threads=test_pipeline.MANY,
    )
    next(found)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    for _ in found:
        pass
"""


def test_processes_end_with_a_parent_that_is_killed(store: Store, tmp_path: Path) -> None:
    manifest = in_blob(store)
    store.save_manifest(manifest)
    command = [sys.executable, "-c", SCRIPT, str(store.root), manifest.dataset_id]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as parent:
        assert parent.stdout
        children = [os.pidfd_open(int(pid)) for pid in parent.stdout.readline().split()]
        assert len(children) == MANY
        parent.kill()
    try:
        for child in children:
            assert select.select([child], [], [], 60)[0], "it outlived its parent"
    finally:
        for child in children:
            os.close(child)
