"""Ingest: identity, order, what lies in the store afterwards, and reading it back."""

from __future__ import annotations

import io
import os
import tarfile
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cache.dataset import Manifest
from cache.errors import CorruptData, InvalidRequest, TooLarge, Unavailable
from cache.identity import hash_file_bytes, hash_pixels
from cache.store import Store
from tests.conftest import SHARED_DATA
from tests.pictures import png, write_image_folder
from tests.test_sources import IMAGES, LABELS, hdf5, npz, tarred, upload, zipped
from worker.ingest import IngestLimits, ingest
from worker.pixels.image_reader import ImageReader
from worker.pixels.images import decode

RANDOM = np.random.default_rng(0)
FILES = {
    f"{split}/{label}/{number}.png": png(RANDOM, 8, number)
    for split, label, number in [
        ("test", "dog", 1),
        ("train", "dog", 10),
        ("train", "cat", 2),
        ("zoo", "ape", 3),
        ("train", "dog", 9),
        ("val", "猫", 4),
        ("train", "cat", 11),
    ]
}


def datasets(store: Store) -> set[str]:
    return {path.name for path in (store.root / "datasets").iterdir()}


def put_folder(store: Store, files: dict[str, bytes], name: str = "set") -> dict[str, str]:
    assert store.data_root
    for path, data in files.items():
        (store.data_root / name / path).parent.mkdir(parents=True, exist_ok=True)
        (store.data_root / name / path).write_bytes(data)
    return {"kind": "folder", "path": name}


def read_all(manifest: Manifest, store: Store) -> list[Any]:
    with ImageReader(manifest, store) as reader:
        return [reader.read(row) for row in range(len(manifest))]


# --- identity and order --------------------------------------------------------------------------


def test_the_same_images_by_zip_tar_and_folder_are_one_dataset(store: Store) -> None:
    backwards = dict(reversed(FILES.items()))
    wrapped = {f"birds/{name}": data for name, data in FILES.items()}
    specs = [
        upload(store, ("a.zip", zipped(FILES))),
        upload(store, ("a.zip", zipped(backwards))),
        upload(store, ("a.tar", tarred(wrapped))),
        upload(store, ("a.tgz", tarred(backwards, "w:gz"))),
        put_folder(store, FILES),
    ]
    manifests = [ingest(spec, store) for spec in specs]
    assert len({manifest.dataset_id for manifest in manifests}) == 1
    for manifest in manifests:
        rows = [row_id.removeprefix("birds/") for row_id in manifest.row_id_N]
        assert read_all(manifest, store) == [FILES[row] for row in rows]


def test_rows_are_ordered_by_split_class_and_name(store: Store) -> None:
    manifest = ingest(upload(store, ("a.zip", zipped(FILES))), store)
    assert manifest.row_id_N == [
        "train/cat/11.png",
        "train/cat/2.png",
        "train/dog/10.png",
        "train/dog/9.png",
        "val/猫/4.png",
        "test/dog/1.png",
        "zoo/ape/3.png",
    ]
    assert manifest.splits == {"train": (0, 4), "val": (4, 5), "test": (5, 6), "zoo": (6, 7)}
    assert manifest.classes == ("ape", "cat", "dog", "猫")
    assert manifest.label_N.tolist() == [1, 1, 2, 2, 3, 2, 0]
    hashes = [hash_file_bytes(FILES[row_id]) for row_id in manifest.row_id_N]
    assert [row.tobytes() for row in manifest.hash_NH] == hashes


NAMES = st.text("abß猫 .-", min_size=1, max_size=5).filter(lambda name: name[0] not in ". ")
FOLDERS = st.dictionaries(
    st.tuples(st.sampled_from(["train", "test", "val"]), NAMES, NAMES),
    st.binary(max_size=20),
    min_size=1,
    max_size=8,
)


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(images=FOLDERS, random=st.randoms())
def test_the_order_of_an_archive_does_not_matter(
    store: Store, images: dict[tuple[str, str, str], bytes], random: Any
) -> None:
    files = {"/".join(path) + ".png": data for path, data in images.items()}
    shuffled = list(files.items())
    random.shuffle(shuffled)
    first = ingest(upload(store, ("a", zipped(files))), store)
    second = ingest(upload(store, ("a", tarred(dict(shuffled)))), store)
    assert first.dataset_id == second.dataset_id
    for manifest in (first, second):
        assert read_all(manifest, store) == [files[row_id] for row_id in manifest.row_id_N]


def changed(name: str, value: Any) -> dict[str, Any]:
    arrays = {"images": IMAGES, "labels": LABELS, "classes": np.array(["a", "b", "c"])}
    return arrays | {name: value}


def test_every_change_of_content_is_another_dataset(store: Store) -> None:
    pixel = IMAGES.copy()
    pixel[3, 2, 1, 0] ^= 1
    label = LABELS.copy()
    label[0] = 1
    variants = [
        changed("images", IMAGES),
        changed("images", pixel),
        changed("images", IMAGES[::-1]),
        changed("images", IMAGES.reshape(6, 4, 5, 3)),
        changed("labels", label),
        changed("classes", np.array(["a", "b", "d"])),
        {"x_train": IMAGES[:3], "y_train": LABELS[:3], "x_test": IMAGES[3:], "y_test": LABELS[3:]},
        {"images": IMAGES},
    ]
    ids = [ingest(upload(store, ("a", npz(**arrays))), store).dataset_id for arrays in variants]
    assert len(set(ids)) == len(variants)


def test_the_same_arrays_by_npz_and_hdf5_are_one_dataset(store: Store) -> None:
    arrays = {"images": IMAGES, "labels": LABELS}
    files = [npz(**arrays), npz(compressed=True, **arrays), hdf5(lambda f: f.update(arrays))]
    manifests = [ingest(upload(store, ("a", data)), store) for data in files]
    assert len({manifest.dataset_id for manifest in manifests}) == 1
    assert manifests[0].location.pixels_HWC == (5, 4, 3)
    assert manifests[0].label_N.tolist() == LABELS.tolist()
    np.testing.assert_array_equal(read_all(manifests[-1], store), IMAGES)


def test_unlabelled_images_have_the_label_minus_one(store: Store) -> None:
    manifest = ingest(upload(store, ("a", npz(images=IMAGES))), store)
    assert manifest.label_N.tolist() == [-1] * 6
    assert manifest.classes == ()


def test_digits_come_with_the_service(store: Store) -> None:
    manifest = ingest({"kind": "builtin", "name": "digits"}, store)
    assert manifest.split_counts() == {"train": 1797}
    assert manifest.location.pixels_HWC == (8, 8, 1)
    with ImageReader(manifest, store) as reader:
        assert reader.decode_row(0).shape == (8, 8, 3)


def test_the_labs_zip_and_pickle_show_the_same_images(store: Store) -> None:
    if not (SHARED_DATA / "cifar10-100.zip").exists():
        pytest.skip("shared/data is not here")
    files = {name: (SHARED_DATA / name).read_bytes() for name in
             ("cifar10-100.zip", "cifar10-100-images.p")}  # fmt: skip
    from_zip, from_pickle = (ingest(upload(store, file), store) for file in files.items())
    assert from_zip.split_counts() == {"train": 1000, "validation": 2000}
    assert from_zip.class_counts("train") == [100] * 10
    assert from_pickle.class_counts("train") == [100] * 10
    with ImageReader(from_zip, store) as zip_images, ImageReader(from_pickle, store) as arrays:
        pixels = {arrays.decode_row(row).tobytes() for row in range(1000)}
        assert {zip_images.decode_row(row).tobytes() for row in range(1000)} == pixels


# --- what lies in the store ----------------------------------------------------------------------


def test_a_blob_and_a_manifest_are_all_that_is_left(store: Store) -> None:
    manifest = ingest(upload(store, ("a.zip", zipped(FILES))), store)
    name = manifest.dataset_id
    assert datasets(store) == {f"{name}.h5", f"{name}.images"}
    assert manifest.location.path == f"{name}.images"
    assert store.blob(name).read_bytes() == b"".join(FILES.values())
    loaded = store.load_manifest(name)
    assert loaded.dataset_id == name
    assert loaded.row_id_N == manifest.row_id_N
    assert int(loaded.size_N.sum()) == store.blob(name).stat().st_size


def test_images_of_a_folder_stay_in_place(store: Store) -> None:
    spec = put_folder(store, FILES, "birds/2024")
    manifest = ingest(spec, store)
    assert datasets(store) == {f"{manifest.dataset_id}.h5"}
    assert manifest.location.kind == "folder"
    assert manifest.location.path == "birds/2024"
    assert not manifest.start_N.any()
    assert not manifest.size_N.any()


def test_a_blob_that_is_there_and_whole_is_kept(store: Store) -> None:
    """Readers that know its order go on reading while the same dataset comes in another order."""
    first = ingest(upload(store, ("a.zip", zipped(FILES))), store)
    inode = store.blob(first.dataset_id).stat().st_ino
    with ImageReader(first, store) as reader:
        renamed = {f"x/{name}": data for name, data in reversed(FILES.items())}
        second = ingest(upload(store, ("a.tar", tarred(renamed))), store)
        assert store.blob(first.dataset_id).stat().st_ino == inode
        assert [reader.read(row) for row in range(7)] == read_all(second, store)
    assert second.row_id_N[0].startswith("x/")


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "manifest"])
def test_registering_again_repairs_a_damaged_dataset(store: Store, damage: str) -> None:
    spec = upload(store, ("a.zip", zipped(FILES)))
    manifest = ingest(spec, store)
    blob = store.blob(manifest.dataset_id)
    data = blob.read_bytes()
    if damage == "flip":
        blob.write_bytes(data[:50] + bytes([data[50] ^ 1]) + data[51:])
    elif damage == "cut":
        blob.write_bytes(data[:-1])
    elif damage == "gone":
        blob.unlink()
    else:
        store.manifest(manifest.dataset_id).write_bytes(b"junk")
    again = ingest(spec, store)
    assert read_all(again, store) == [FILES[row_id] for row_id in again.row_id_N]
    assert len(datasets(store)) == 2


def test_progress_counts_images_and_may_stop_the_work(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.ingest.PROGRESS_SECONDS", -1)
    told: list[int] = []
    ingest(upload(store, ("a.zip", zipped(FILES))), store, IngestLimits(), told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7, 7]
    before = datasets(store)

    def stop(count: int) -> None:
        if count == 3:
            raise InterruptedError("cancelled")  # an OSError, of all things

    with pytest.raises(Unavailable):
        ingest(upload(store, ("a.npz", npz(images=IMAGES))), store, progress=stop)
    assert datasets(store) == before


@pytest.mark.parametrize("broken", ["publish", "save_manifest"])
def test_nothing_is_left_when_publishing_fails(
    store: Store, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    target = "worker.ingest.publish" if broken == "publish" else "cache.store.save_manifest"
    monkeypatch.setattr(target, fail)
    with pytest.raises(Unavailable, match="No space left"):
        ingest(upload(store, ("a.zip", zipped(FILES))), store)
    assert datasets(store) == set()


def test_an_empty_source_is_refused(store: Store) -> None:
    put_folder(store, {"notes.txt": b"nothing here"})
    with pytest.raises(InvalidRequest, match="no images"):
        ingest({"kind": "folder", "path": "set"}, store)
    assert datasets(store) == set()


def test_the_byte_limit_holds_for_what_is_stored_not_for_folders(store: Store) -> None:
    limits = IngestLimits(max_bytes=300)
    with pytest.raises(TooLarge, match="300 bytes"):
        ingest({"kind": "builtin", "name": "digits"}, store, limits)
    assert len(ingest(put_folder(store, FILES), store, limits)) == 7


def test_broken_images_are_taken_in_and_fail_when_decoded(store: Store) -> None:
    files = {"cat/a.png": b"junk", "cat/b.png": b"", "cat/c.png": next(iter(FILES.values()))}
    manifest = ingest(upload(store, ("a.zip", zipped(files))), store)
    with ImageReader(manifest, store) as reader:
        for row in (0, 1):
            with pytest.raises(CorruptData):
                reader.decode_row(row)
        np.testing.assert_array_equal(reader.decode_row(2), decode(files["cat/c.png"]))


def test_memory_does_not_grow_with_an_archive(store: Store) -> None:
    size, count = 1 << 20, 64
    path = store.new_incoming()
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            member = tarfile.TarInfo(f"cat/{number:03}.bmp")
            member.size = size
            archive.addfile(member, io.BytesIO(RANDOM.bytes(size)))
    spec = {"kind": "upload", "files": [{"path": str(path), "name": "a.tar"}]}
    tracemalloc.start()
    manifest = ingest(spec, store)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert int(manifest.size_N.sum()) == size * count
    assert peak < 12 << 20


# --- reading back --------------------------------------------------------------------------------


def test_threads_may_share_a_reader(store: Store) -> None:
    blob = ingest(upload(store, ("a.zip", zipped(FILES))), store)
    folder = ingest(put_folder(store, FILES), store)
    pixels = ingest(upload(store, ("a.npz", npz(images=IMAGES))), store)
    for manifest in (blob, folder, pixels):
        with ImageReader(manifest, store) as reader, ThreadPoolExecutor(8) as pool:
            rows = list(range(len(manifest))) * 40
            alone = [reader.read(row) for row in range(len(manifest))]
            for row, data in zip(rows, pool.map(reader.read, rows), strict=True):
                np.testing.assert_array_equal(data, alone[row])


def test_raw_pixels_are_writable_and_checked(store: Store) -> None:
    manifest = ingest(upload(store, ("a.npz", npz(images=IMAGES))), store)
    with ImageReader(manifest, store) as reader:
        data = reader.read(2)
    assert isinstance(data, np.ndarray)
    assert data.flags.writeable
    assert hash_pixels(data) == manifest.hash_NH[2].tobytes()


def replace_by(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def as_link(path: Path) -> None:
    moved = path.rename(path.with_name("moved.bin"))
    path.symlink_to(moved)


def as_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


CHANGES = {
    "edited": replace_by(b"other"),
    "emptied": replace_by(b""),
    "removed": Path.unlink,
    "link": as_link,
    "fifo": as_fifo,
    "folder": as_folder,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_file_of_a_folder_is_corrupt_data(store: Store, change: str) -> None:
    manifest = ingest(put_folder(store, FILES), store)
    assert store.data_root
    CHANGES[change](store.data_root / "set" / manifest.row_id_N[1])
    with ImageReader(manifest, store) as reader:
        assert reader.read(0) == FILES[manifest.row_id_N[0]]
        with pytest.raises(CorruptData, match="changed since it was registered") as caught:
            reader.read(1)
    assert manifest.row_id_N[1] in caught.value.message
    assert "register" in caught.value.remedy


def test_a_folder_that_became_a_link_is_not_followed(store: Store, tmp_path: Path) -> None:
    manifest = ingest(put_folder(store, FILES), store)
    assert store.data_root
    cats = store.data_root / "set" / "train" / "cat"
    cats.rename(tmp_path / "cat")
    cats.symlink_to(tmp_path / "cat")
    with ImageReader(manifest, store) as reader, pytest.raises(CorruptData, match="changed"):
        reader.read(0)


def test_a_damaged_blob_is_corrupt_data_row_by_row(store: Store) -> None:
    manifest = ingest(upload(store, ("a.npz", npz(images=IMAGES))), store)
    blob = store.blob(manifest.dataset_id)
    data = bytearray(blob.read_bytes())
    data[3 * IMAGES[0].size] ^= 1
    blob.write_bytes(data[:-1])
    with ImageReader(manifest, store) as reader:
        for row in (0, 1, 2, 4):
            reader.read(row)
        for row in (3, 5):
            with pytest.raises(CorruptData, match=f"'train/{row}' changed"):
                reader.read(row)


def test_images_that_are_gone_are_corrupt_data(store: Store) -> None:
    blob = ingest(upload(store, ("a.zip", zipped(FILES))), store)
    store.blob(blob.dataset_id).unlink()
    folder = replace(blob, location=replace(blob.location, kind="folder", path="nowhere"))
    for manifest in (blob, folder):
        with pytest.raises(CorruptData, match="changed since it was registered"):
            ImageReader(manifest, store)


def test_a_store_without_a_data_root_says_so(store: Store) -> None:
    manifest = ingest(put_folder(store, FILES), store)
    with pytest.raises(InvalidRequest, match="no data root"):
        ImageReader(manifest, Store(store.root))


def test_images_made_by_pillow_come_back_as_they_were(store: Store) -> None:
    assert store.data_root
    root = write_image_folder(store.data_root / "made", {"train": {"a": 2, "b": 2}})
    manifest = ingest({"kind": "folder", "path": "made"}, store)
    with ImageReader(manifest, store) as reader:
        for row, row_id in enumerate(manifest.row_id_N):
            with Image.open(root / row_id) as image:
                np.testing.assert_array_equal(reader.decode_row(row), np.asarray(image))
