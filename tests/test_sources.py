"""Sources: what each kind of folder, file and set gives, in which order, under which names."""

from __future__ import annotations

import gzip
import inspect
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torchvision import datasets

from cache.errors import FeaturepackError, InvalidRequest, NotFound, TooLarge, Unavailable
from cache.store import Store
from tests.conftest import SHARED_DATA
from tests.pictures import png
from worker.sources import torchvision_sets
from worker.sources.layout import place_all, split_order
from worker.sources.pickles import load_arrays
from worker.sources.registry import open_source, recognise
from worker.sources.source import IngestLimits, SourceImage
from worker.sources.tar_stream import TarStream

RANDOM = np.random.default_rng(0)
PNG = png(RANDOM, 8, 0)
IMAGES = RANDOM.integers(0, 256, (6, 5, 4, 3), np.uint8)
LABELS = np.array([2, 0, 1, 0, 2, 1])


def upload(store: Store, *files: tuple[str, bytes]) -> dict[str, Any]:
    """A spec of files as the service keeps them: under random names in ``incoming``."""
    entries = []
    for name, data in files:
        path = store.new_incoming()
        path.write_bytes(data)
        entries.append({"path": str(path), "name": name})
    return {"kind": "upload", "files": entries}


def taken(spec: Mapping[str, Any], store: Store, **limits: int) -> list[SourceImage]:
    """All images of a source, with split and class filled in."""
    source = open_source(spec, store, IngestLimits(**limits))
    with source.resources:
        images = list(source.images)
    if source.place is None:
        return images
    places = source.place([image.row_id for image in images])
    return [
        SourceImage(image.row_id, split, label, image.data)
        for image, (split, label) in zip(images, places, strict=True)
    ]


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(
    files: Mapping[str, bytes], mode: Any = "w", tar_format: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, format=tar_format) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def npz(compressed: bool = False, **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def hdf5(write: Callable[[Any], object]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def rows(images: list[SourceImage]) -> list[tuple[str, str | None]]:
    return [(image.split, image.label) for image in images]


# --- folders -------------------------------------------------------------------------------------


def fill(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(PNG + path.encode())


def folder(store: Store, *paths: str) -> list[SourceImage]:
    assert store.data_root
    fill(store.data_root / "set", *paths)
    return taken({"kind": "folder", "path": "set"}, store)


def test_two_levels_are_split_and_class_one_level_is_train(store: Store) -> None:
    images = folder(store, "train/cat/a.png", "test/dog/b.JPG", "train/dog/c.jpeg")
    assert {(i.row_id, i.split, i.label) for i in images} == {
        ("train/cat/a.png", "train", "cat"),
        ("test/dog/b.JPG", "test", "dog"),
        ("train/dog/c.jpeg", "train", "dog"),
    }
    assert all(i.data == PNG + i.row_id.encode() for i in images)


def test_one_level_is_the_class(store: Store) -> None:
    assert Counter(rows(folder(store, "cat/a.png", "cat/b.bmp", "猫/å.webp"))) == Counter(
        {("train", "cat"): 2, ("train", "猫"): 1}
    )


def test_what_is_no_image_is_ignored(store: Store) -> None:
    assert store.data_root
    fill(store.data_root / "set", ".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "notes.txt")
    fill(store.data_root / "set", "__MACOSX/cat/._a.png", ".git/x/y.png", "cat/deep/er/read.me")
    (store.data_root / "set" / "empty" / "folder").mkdir(parents=True)
    (store.data_root / "set" / "cat" / "link.txt").symlink_to("/etc/passwd")
    assert rows(folder(store, "cat/a.gif")) == [("train", "cat")]


@pytest.mark.parametrize(
    ("paths", "shown"),
    [
        (("cat/a.png", "train/cat/b.png"), "'train/cat/b.png'"),
        (("a.png",), "'a.png'"),
        (("a.png", "cat/b.png"), "'a.png'"),
        (("x/train/cat/a.png",), "'x/train/cat/a.png'"),
        (("cat/a.png", "cat/b.tiff"), "'cat/b.tiff'"),
    ],
)
def test_other_layouts_are_refused_with_an_example(
    store: Store, paths: tuple[str, ...], shown: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        folder(store, *paths)
    assert shown in caught.value.message
    assert caught.value.remedy


def test_links_are_not_followed(store: Store, tmp_path: Path) -> None:
    assert store.data_root
    fill(tmp_path / "elsewhere", "cat/a.png")
    fill(store.data_root / "set", "cat/a.png")
    link = store.data_root / "set" / "dog"
    for target in (tmp_path / "elsewhere" / "cat", store.data_root / "set" / "cat"):
        link.symlink_to(target)
        with pytest.raises(InvalidRequest, match="'dog' is a link"):
            folder(store)
        link.unlink()
    file_link = store.data_root / "set" / "cat" / "b.png"
    file_link.symlink_to(tmp_path / "elsewhere" / "cat" / "a.png")
    with pytest.raises(InvalidRequest, match=r"'cat/b\.png' is a link"):
        folder(store)


def test_special_files_and_names_that_are_not_utf8_are_refused(store: Store) -> None:
    assert store.data_root
    fill(store.data_root / "set", "cat/a.png")
    fifo = store.data_root / "set" / "cat" / "pipe.png"
    os.mkfifo(fifo)
    with pytest.raises(InvalidRequest, match="special file"):
        folder(store)
    fifo.unlink()
    (store.data_root / "set" / "cat" / os.fsdecode(b"\xff.png")).write_bytes(PNG)
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        folder(store)


@pytest.mark.parametrize("path", ["..", "../set", "/etc", "a\0b", ""])
def test_a_folder_outside_the_data_root_is_refused(store: Store, path: str) -> None:
    with pytest.raises(InvalidRequest):
        taken({"kind": "folder", "path": path}, store)


def test_a_missing_folder_is_not_found_and_a_full_one_too_large(store: Store) -> None:
    with pytest.raises(NotFound):
        taken({"kind": "folder", "path": "nowhere"}, store)
    folder(store, "cat/a.png", "cat/b.png")
    with pytest.raises(TooLarge):
        taken({"kind": "folder", "path": "set"}, store, max_members=2)
    with pytest.raises(TooLarge, match=r"cat/.\.png"):
        taken({"kind": "folder", "path": "set"}, store, max_image_bytes=10)


def test_an_unreadable_folder_is_unavailable(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: object, *_: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(Unavailable, match="Permission denied"):
        folder(store, "cat/a.png")


def test_splits_are_ordered_train_validation_test_others() -> None:
    names = ["zoo", "test", "Train", "valid", "Apple", "val", "train", "validation"]
    assert sorted(names, key=split_order) == [
        "Train", "train", "val", "valid", "validation", "test", "Apple", "zoo",
    ]  # fmt: skip


# --- archives ------------------------------------------------------------------------------------

FILES = {
    "train/cat/a.png": PNG,
    "train/dog/ß.png": PNG + b"1",
    "test/cat/猫.png": PNG + b"2",
    "README.txt": b"read me",
}


@pytest.mark.parametrize("top", ["", "birds/", "./", "train-set/"])
@pytest.mark.parametrize("pack", ["zip", "stored", "tar", "tgz", "gnu", "ustar"])
def test_archives_are_read_whatever_their_name(store: Store, top: str, pack: str) -> None:
    files = {top + name: data for name, data in FILES.items()}
    data = {
        "zip": lambda: zipped(files),
        "stored": lambda: zipped(files, zipfile.ZIP_STORED),
        "tar": lambda: tarred(files),
        "tgz": lambda: tarred(files, "w:gz"),
        "gnu": lambda: tarred(files, tar_format=tarfile.GNU_FORMAT),
        "ustar": lambda: tarred(files, tar_format=tarfile.USTAR_FORMAT),
    }[pack]()
    images = taken(upload(store, ("misleading.npz", data)), store)
    assert {(i.split, i.label, i.data) for i in images} == {
        ("train", "cat", PNG),
        ("train", "dog", PNG + b"1"),
        ("test", "cat", PNG + b"2"),
    }


@pytest.mark.parametrize(
    ("paths", "places"),
    [
        (["cat/a.png", "dog/b.png"], [("train", "cat"), ("train", "dog")]),
        (["cat/a.png"], [("train", "cat")]),
        (["birds/cat/a.png", "birds/dog/b.png"], [("train", "cat"), ("train", "dog")]),
        (["train/cat/a.png"], [("train", "cat")]),
        (["Val/cat/a.png"], [("Val", "cat")]),
        (["x/cat/a.png", "y/cat/a.png"], [("x", "cat"), ("y", "cat")]),
        (["x/train/cat/a.png"], [("train", "cat")]),
        ([], []),
    ],
)
def test_a_single_top_folder_of_an_archive_is_taken_off(
    paths: list[str], places: list[tuple[str, str]]
) -> None:
    assert place_all(paths, strip_top=True) == places


def test_an_archive_made_by_tar_itself_has_folders_and_hidden_files(
    store: Store, tmp_path: Path
) -> None:
    fill(tmp_path / "made", "train/cat/a.png", "train/.DS_Store", "__MACOSX/train/._cat.png")
    with tarfile.open(tmp_path / "made.tar", "w") as archive:
        archive.add(tmp_path / "made", arcname=".")
    data = (tmp_path / "made.tar").read_bytes()
    assert rows(taken(upload(store, ("x", data)), store)) == [("train", "cat")]


def test_zip_names_without_the_utf8_flag_are_code_page_437(store: Store) -> None:
    data = zipped({"caf_/a.png": PNG}).replace(b"caf_", "café".encode("cp437"))
    assert rows(taken(upload(store, ("x.zip", data)), store)) == [("train", "café")]


NAMES = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1
).filter(lambda name: name.strip(".") and len(name.encode()) < 250)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    paths=st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique=True),
    size=st.integers(0, 1500),
    tar_format=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
def test_our_tar_reader_agrees_with_pythons(
    paths: list[tuple[str, str]], size: int, tar_format: int
) -> None:
    files = {"/".join(path): bytes([i]) * (size + i) for i, path in enumerate(paths)}
    data = tarred(files, tar_format=tar_format)
    ours = {}
    stream = TarStream(io.BytesIO(data))
    for index, member in enumerate(stream):
        ours[member.name] = stream.read(member) if index % 2 == 0 else files[member.name]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert list(ours) == archive.getnames()
    assert ours == files


def test_tar_numbers_in_base_256_are_read() -> None:
    data = bytearray(tarred({"a/b.png": b"12345"}))
    data[124:136] = b"\x80" + (5).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    stream = TarStream(io.BytesIO(bytes(data)))
    assert [stream.read(member) for member in stream] == [b"12345"]


# --- arrays --------------------------------------------------------------------------------------


def from_arrays(store: Store, **arrays: Any) -> list[SourceImage]:
    return taken(upload(store, ("set.npz", npz(**arrays))), store)


def test_npz_rows_keep_their_order_and_integer_classes_their_numerical_one(store: Store) -> None:
    labels = np.array([10, 2, 2, 10, -1, 3])
    images = from_arrays(store, images=IMAGES, labels=labels)
    assert [i.label for i in images] == ["10", "2", "2", "10", None, "3"]
    assert [i.row_id for i in images] == [f"train/{n}" for n in range(6)]
    np.testing.assert_array_equal([i.data for i in images], IMAGES)
    spec = upload(store, ("set.npz", npz(images=IMAGES, labels=labels)))
    source = open_source(spec, store, IngestLimits())
    assert source.classes == ("2", "3", "10")
    source.resources.close()


@pytest.mark.parametrize(
    "keys",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("X_train", "Y_train", "X_val", "Y_val"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("data", "targets", "valid-data", "valid-targets"),
        ("features", "labels", "test.features", "test.labels"),
    ],
)
def test_array_names_say_role_and_split(store: Store, keys: tuple[str, ...]) -> None:
    arrays = dict(zip(keys, (IMAGES[:4], LABELS[:4], IMAGES[4:], LABELS[4:]), strict=True))
    images = from_arrays(store, **arrays, filenames=np.arange(6), coarse_labels=np.arange(9))
    second = {"x_test": "test", "test_images": "test", "test.features": "test"}
    split = second.get(keys[2], "validation")
    assert [i.split for i in images] == ["train"] * 4 + [split] * 2
    assert [i.label for i in images] == [str(label) for label in LABELS]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_hdf5_groups_name_the_split(store: Store, compression: str | None) -> None:
    options: dict[str, Any] = {}
    if compression:
        options = {"compression": compression, "chunks": (2, 5, 4, 3), "shuffle": True}
        options["fletcher32"] = True

    def write(file: Any) -> None:
        file.create_dataset("train/images", data=IMAGES[:4], **options)
        file["train/labels"] = LABELS[:4]
        file.create_dataset("test/images", data=IMAGES[4:], **options)
        file["test/labels"] = LABELS[4:].reshape(-1, 1)
        file["classes"] = ["red", "grün", "blue"]
        file["meta/info/deep"] = 1

    images = taken(upload(store, ("set", hdf5(write))), store)
    assert [i.split for i in images] == ["train"] * 4 + ["test"] * 2
    assert [i.label for i in images] == [["red", "grün", "blue"][label] for label in LABELS]
    np.testing.assert_array_equal([i.data for i in images], IMAGES)


@pytest.mark.parametrize("kind", ["U", "S", "vlen"])
def test_labels_may_be_strings(store: Store, kind: str) -> None:
    names = ["b", "ä", "b", "a", "ä", "c"]
    if kind == "vlen":
        data = hdf5(lambda f: f.update({"images": IMAGES, "labels": names}))
    else:
        labels = np.array(names) if kind == "U" else np.char.encode(np.array(names), "utf-8")
        data = npz(images=IMAGES, labels=labels)
    source = open_source(upload(store, ("x", data)), store, IngestLimits())
    with source.resources:
        assert [i.label for i in source.images] == names
    assert source.classes == ("a", "b", "c", "ä")


@pytest.mark.parametrize(
    ("given_images", "expected"),
    [
        (IMAGES[..., 0], IMAGES[..., :1]),
        (IMAGES[..., :1], IMAGES[..., :1]),
        (np.asfortranarray(IMAGES), IMAGES),
        (np.tile(IMAGES, (1, 1, 1, 2))[..., :4], np.tile(IMAGES, (1, 1, 1, 2))[..., :4]),
        (np.tile(IMAGES, (1, 1, 2, 1)).transpose(0, 3, 1, 2), np.tile(IMAGES, (1, 1, 2, 1))),
        (IMAGES > 100, np.where(IMAGES > 100, 255, 0)),
        (IMAGES.astype(np.uint16) * 257, IMAGES),
        (np.minimum(IMAGES * 257.0 + 128, 65535).astype(">u2"), IMAGES),
        ((IMAGES / 255).astype(np.float32), IMAGES),
        (IMAGES / 255, IMAGES),
        ((IMAGES // 128).astype(np.float16), (IMAGES // 128) * 255),
    ],
)
def test_pixels_of_several_types_become_uint8(
    store: Store, given_images: np.ndarray, expected: np.ndarray
) -> None:
    for data in (npz(images=given_images), hdf5(lambda f: f.update({"x": given_images}))):
        images = taken(upload(store, ("x", data)), store)
        assert {i.label for i in images} == {None}
        assert all(isinstance(i.data, np.ndarray) and i.data.dtype == np.uint8 for i in images)
        np.testing.assert_array_equal([i.data for i in images], expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, "values from 0.0 to 255.0"),
        ({"images": np.full((2, 3, 3), np.nan)}, "values from nan"),
        ({"images": IMAGES.astype(np.int64)}, "images are int64"),
        ({"images": IMAGES.reshape(6, -1)}, "images are uint8"),
        ({"images": IMAGES[..., :2]}, "images are uint8"),
        ({"images": np.zeros((4, 1, 1, 512), np.float32)}, "images are float32"),
        ({"images": IMAGES, "labels": LABELS[:5]}, "6 images and 5 labels"),
        ({"images": IMAGES, "labels": np.eye(6)}, "labels of train are float64"),
        ({"images": IMAGES, "labels": np.eye(6, dtype=int)}, "labels of train are int64"),
        ({"images": IMAGES, "labels": LABELS - 5}, "below -1"),
        ({"labels": LABELS}, "no array of images"),
        ({"pictures": IMAGES}, "it has pictures"),
        ({"x_train": IMAGES, "y_test": LABELS}, "no array of images for 'test'"),
        ({"images": IMAGES, "x": IMAGES}, "two arrays of train images"),
        ({"x_train": IMAGES, "x_test": IMAGES[:, :3]}, "different shapes"),
        ({"x": IMAGES, "y": LABELS, "classes": np.array(["a", "b"])}, "label 2 is none of 2"),
        ({"x": IMAGES, "y": LABELS, "classes": np.array(["a", "a", "b"])}, "named twice"),
        ({"x": IMAGES, "y": np.array([b"\xff"] * 6)}, "not Unicode"),
        ({"x": IMAGES, "y": np.array(["\ud800"] * 6)}, "not Unicode"),
        (
            {"x": IMAGES, "y": LABELS, "x_test": IMAGES, "y_test": LABELS.astype(str)},
            "others are strings",
        ),
    ],
)
def test_arrays_that_are_no_dataset_are_refused(
    store: Store, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        from_arrays(store, **arrays)
    assert caught.value.remedy


def test_images_with_too_many_pixels_are_too_large(store: Store) -> None:
    with pytest.raises(TooLarge, match="5 x 4"):
        taken(upload(store, ("x", npz(images=IMAGES))), store, max_pixels=19)


# --- pickles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(store: Store, protocol: int) -> None:
    arrays = {
        "features": IMAGES,
        "labels": LABELS.reshape(-1, 1),
        "fortran": np.asfortranarray(IMAGES[..., 0]),
        "big": np.arange(5, dtype=">f4"),
        "flags": np.array([True, False]),
        "text": np.array(["a", "é"]),
        "list": [1, 2],
        "names": ["x", "yy"],
        "empty": np.empty((0, 3), np.float32),
        "version": 3,
        "note": "written by hand",
    }
    path = store.new_incoming()
    path.write_bytes(pickle.dumps(arrays, protocol))
    read = load_arrays(path, 1 << 20)
    assert set(read) == set(arrays) - {"version", "note"}
    for name, array in read.items():
        np.testing.assert_array_equal(array, np.array(arrays[name]))
        assert array.flags.writeable
        assert array.dtype.isnative
        assert array.flags.c_contiguous
    spec = {"kind": "upload", "files": [{"path": str(path), "name": "a.p"}]}
    assert [i.label for i in taken(spec, store)] == [str(label) for label in LABELS]


@pytest.mark.parametrize("protocol", [b"0", b"2"])
def test_a_pickle_of_python_2_is_read(store: Store, protocol: bytes) -> None:
    """What Python 2.7 with numpy 1.16 wrote for ``{'features': uint8 [[[200]]], 'labels': [7]}``
    (the opcodes of its ``pickle`` module, spelled out)."""
    raw = b"S'\\xc8'\n" if protocol == b"0" else b"U\x01\xc8"
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
        b"(I1\n(I1\nI1\nI1\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"
        b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\n" + raw + b"tb"
    )
    data = b"(dp0\nS'features'\np1\n" + array + b"sS'labels'\n(lp2\nI7\nas."
    if protocol == b"2":
        data = b"\x80\x02" + data
    path = store.new_incoming()
    path.write_bytes(data)
    read = load_arrays(path, 1000)
    assert read["features"].tolist() == [[[200]]]
    assert read["labels"].tolist() == [7]


def test_old_feature_packs_are_read(store: Store) -> None:
    features = RANDOM.normal(size=(7, 1, 1, 512)).astype(np.float32)
    path = store.new_incoming()
    path.write_bytes(pickle.dumps({"features": features, "labels": np.arange(7)}, 2))
    np.testing.assert_array_equal(load_arrays(path, 1 << 20)["features"], features)


def test_the_labs_pickle_is_read(store: Store) -> None:
    path = SHARED_DATA / "cifar10-100-images.p"
    if not path.exists():
        pytest.skip("shared/data is not here")
    arrays = load_arrays(path, 1 << 30)
    assert arrays["features"].shape == (1000, 32, 32, 3)
    assert arrays["features"].dtype == np.uint8
    assert np.bincount(arrays["labels"]).tolist() == [100] * 10


def test_several_files_take_their_split_from_their_names(store: Store) -> None:
    spec = upload(
        store,
        ("vgg_cifar_100_valid.p", pickle.dumps({"features": IMAGES[:1], "labels": LABELS[:1]}, 2)),
        ("batch_2.npz", npz(images=IMAGES[4:], labels=LABELS[4:])),
        ("test.h5", hdf5(lambda f: f.update({"images": IMAGES[1:2], "labels": LABELS[1:2]}))),
        ("batch_1.npz", npz(images=IMAGES[2:4], labels=LABELS[2:4])),
    )
    images = taken(spec, store)
    assert [i.row_id for i in images] == [
        "train/0", "train/1", "train/2", "train/3", "validation/0", "test/0",
    ]  # fmt: skip
    np.testing.assert_array_equal([i.data for i in images], IMAGES[[4, 5, 2, 3, 0, 1]])


def test_a_file_name_with_two_splits_is_refused(store: Store) -> None:
    with pytest.raises(InvalidRequest, match="two splits"):
        taken(upload(store, ("train_test.npz", npz(images=IMAGES))), store)


# --- uploads in general --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "empty"), (b"hello", "no format"), (PNG, "no format"), (gzip.compress(b"x"), "no form")],
)
def test_unknown_formats_are_refused_by_name(store: Store, data: bytes, message: str) -> None:
    with pytest.raises(InvalidRequest, match=message) as caught:
        taken(upload(store, ("my.zip", data)), store)
    assert "my.zip" in caught.value.message
    assert "zip, tar" in caught.value.remedy


def test_an_archive_must_be_alone(store: Store) -> None:
    spec = upload(store, ("a.npz", npz(images=IMAGES)), ("b.zip", zipped(FILES)))
    with pytest.raises(InvalidRequest, match=r"'b\.zip' is not the only file"):
        taken(spec, store)


def test_a_spec_reaches_uploaded_files_only(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(zipped(FILES))
    link = store.new_incoming()
    link.symlink_to(tmp_path / "secret")
    for path in (tmp_path / "secret", link, store.root / "incoming", Path("/etc/passwd")):
        spec = {"kind": "upload", "files": [{"path": str(path), "name": "a.zip"}]}
        with pytest.raises(InvalidRequest, match="no uploaded file"):
            taken(spec, store)
    gone = {"kind": "upload", "files": [{"path": str(store.new_incoming()), "name": "a.zip"}]}
    with pytest.raises(NotFound):
        taken(gone, store)


@pytest.mark.parametrize(
    "spec", [{}, {"kind": "ftp"}, {"kind": "builtin"}, {"kind": "upload", "files": []}]
)
def test_a_spec_that_says_nothing_is_refused(store: Store, spec: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        taken(spec, store)


def test_formats_are_recognised_by_content(tmp_path: Path) -> None:
    cases = {
        "zip": zipped(FILES),
        "npz": npz(images=IMAGES),
        "tar": tarred(FILES),
        "tar.gz": tarred(FILES, "w:gz"),
        "hdf5": hdf5(lambda f: f.update({"x": IMAGES})),
        "pickle": pickle.dumps({"x": IMAGES}),
    }
    for expected, data in cases.items():
        path = tmp_path / "file"
        path.write_bytes(data)
        assert recognise(path, "file") == expected


# --- sets that come with libraries ---------------------------------------------------------------


def test_digits_are_scikit_learns(store: Store) -> None:
    found = load_digits()
    images = taken({"kind": "builtin", "name": "digits"}, store)
    assert len(images) == 1797
    assert [i.label for i in images] == [str(label) for label in found.target]
    pixels = np.array([i.data for i in images])
    np.testing.assert_array_equal(pixels[..., 0], np.rint(found.images * 255 / 16))
    with pytest.raises(NotFound):
        taken({"kind": "builtin", "name": "iris"}, store)


@pytest.mark.parametrize("name", torchvision_sets.SETS)
def test_the_table_fits_torchvision(name: str) -> None:
    known = torchvision_sets.SETS[name]
    signature = inspect.signature(getattr(datasets, known.class_name))
    for arguments in known.splits.values():
        signature.bind(root="", download=False, **arguments)
    if known.kind in ("files", "arrays"):
        source = "".join(
            inspect.getsource(cls)
            for cls in inspect.getmro(getattr(datasets, known.class_name))[:3]
        )
        for attribute in filter(None, (known.images, known.labels)):
            assert f"self.{attribute}" in source


def idx(array: np.ndarray) -> bytes:
    """The IDX format of http://yann.lecun.com/exdb/mnist/: uint8, big-endian sizes."""
    sizes = b"".join(side.to_bytes(4, "big") for side in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def write_mnist(root: Path) -> None:
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for prefix, part in (("train", slice(0, 4)), ("t10k", slice(4, 6))):
        (raw / f"{prefix}-images-idx3-ubyte").write_bytes(idx(IMAGES[part, :, :, 0]))
        (raw / f"{prefix}-labels-idx1-ubyte").write_bytes(idx(LABELS[part]))


MNIST = {"kind": "torchvision", "name": "mnist"}


def test_mnist_files_put_there_by_hand_are_used(store: Store) -> None:
    write_mnist(store.downloads / "mnist")
    images = taken(MNIST, store)
    assert [i.split for i in images] == ["train"] * 4 + ["test"] * 2
    assert images[0].label == "2 - two"
    np.testing.assert_array_equal([i.data for i in images], IMAGES[..., :1])


def test_sets_of_files_keep_their_encoded_bytes(store: Store) -> None:
    fill(store.downloads / "eurosat" / "eurosat" / "2750", "River/River_1.jpg", "Forest/F_1.jpg")
    images = taken({"kind": "torchvision", "name": "eurosat"}, store)
    assert rows(images) == [("train", "Forest"), ("train", "River")]
    assert images[1].data == PNG + b"River/River_1.jpg"
    assert images[1].row_id == "eurosat/2750/River/River_1.jpg"


def test_sets_with_lists_of_files_are_read_by_split(store: Store) -> None:
    root = store.downloads / "dtd" / "dtd" / "dtd"
    paths = {"train": "dotted/a.jpg", "val": "banded/b.jpg", "test": "dotted/c.jpg"}
    for split, path in paths.items():
        fill(root / "images", path)
        (root / "labels").mkdir(exist_ok=True)
        (root / "labels" / f"{split}1.txt").write_text("banded/b.jpg\n" + path + "\n")
    fill(root / "images", "banded/b.jpg")
    images = taken({"kind": "torchvision", "name": "dtd"}, store)
    assert rows(images) == [
        ("train", "banded"), ("train", "dotted"),
        ("validation", "banded"), ("validation", "banded"),
        ("test", "banded"), ("test", "dotted"),
    ]  # fmt: skip
    (root / "images" / "dotted" / "a.jpg").unlink()
    with pytest.raises(Unavailable, match=r"lacks the file .*dotted/a\.jpg"):
        taken({"kind": "torchvision", "name": "dtd"}, store)


def test_sets_of_other_shapes_are_read(store: Store) -> None:
    food = store.downloads / "food101" / "food-101"
    fill(food / "images", "soup/1.jpg", "pie/2.jpg")
    (food / "meta").mkdir()
    for split in ("train", "test"):
        (food / "meta" / f"{split}.json").write_text(
            json.dumps({"soup": ["soup/1"], "pie": ["pie/2"] if split == "train" else []})
        )
    assert rows(taken({"kind": "torchvision", "name": "food101"}, store)) == [
        ("train", "soup"), ("train", "pie"), ("test", "soup"),
    ]  # fmt: skip
    signs = store.downloads / "gtsrb" / "gtsrb"
    fill(signs / "GTSRB" / "Training", "00000/0.ppm", "00001/1.ppm")
    fill(signs / "GTSRB" / "Final_Test" / "Images", "7.ppm")
    (signs / "GT-final_test.csv").write_text("Filename;ClassId\n7.ppm;1\n")
    assert rows(taken({"kind": "torchvision", "name": "gtsrb"}, store)) == [
        ("train", "0"), ("train", "1"), ("test", "1"),
    ]  # fmt: skip
    caltech = store.downloads / "caltech101" / "caltech101" / "101_ObjectCategories"
    fill(caltech, "ant/image_0001.jpg", "BACKGROUND_Google/image_0001.jpg")
    assert rows(taken({"kind": "torchvision", "name": "caltech101"}, store)) == [("train", "ant")]
    imagenette = store.downloads / "imagenette" / "imagenette2"
    fill(imagenette, "train/n01440764/a.jpeg", "val/n01440764/b.jpeg")
    assert rows(taken({"kind": "torchvision", "name": "imagenette"}, store)) == [
        ("train", "tench"), ("validation", "tench"),
    ]  # fmt: skip


def test_pcams_hdf5_files_are_read(store: Store) -> None:
    root = store.downloads / "pcam" / "pcam"
    root.mkdir(parents=True)
    for index, part in enumerate(("train", "valid", "test")):
        stem = f"camelyonpatch_level_2_split_{part}"
        write = (
            {"x": IMAGES[2 * index :][:2]},
            {"y": (LABELS[2 * index :][:2] % 2)[:, None, None, None]},
        )
        for letter, arrays in zip("xy", write, strict=True):
            (root / f"{stem}_{letter}.h5").write_bytes(hdf5(lambda f, a=arrays: f.update(a)))
    images = taken({"kind": "torchvision", "name": "pcam"}, store)
    assert [i.split for i in images] == ["train"] * 2 + ["validation"] * 2 + ["test"] * 2
    np.testing.assert_array_equal([i.data for i in images], IMAGES)
    assert [i.label for i in images] == [("normal", "tumor")[label % 2] for label in LABELS]


def test_a_failed_download_is_unavailable_and_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_way(self: Any) -> None:
        Path(self.raw_folder).mkdir(parents=True, exist_ok=True)
        Path(self.raw_folder, "train-images-idx3-ubyte").write_bytes(b"half")
        raise OSError("the line is dead")

    monkeypatch.setattr(datasets.MNIST, "download", half_way)
    for _ in range(2):
        with pytest.raises(Unavailable, match="the line is dead") as caught:
            taken(MNIST, store)
        assert "'mnist'" in caught.value.message
        assert str(store.downloads / "mnist") in caught.value.remedy
        assert "upload" in caught.value.remedy
        assert list(store.downloads.iterdir()) == []


def test_a_download_gets_its_name_only_when_it_is_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was put there by hand is kept, and helps; torchvision's own check is not enough."""
    seen = []

    def download(self: Any) -> None:
        root = Path(self.root)
        seen.append((root / "by-hand.txt").read_text())
        assert not (store.downloads / "mnist" / "MNIST").exists()
        if not (root / "MNIST").exists():
            write_mnist(root)

    monkeypatch.setattr(datasets.MNIST, "download", download)
    (store.downloads / "mnist").mkdir()
    (store.downloads / "mnist" / "by-hand.txt").write_text("mine")
    assert len(taken(MNIST, store)) == 6
    assert set(seen) == {"mine"}
    assert [path.name for path in store.downloads.iterdir()] == ["mnist"]
    count = len(seen)
    assert len(taken(MNIST, store)) == 6
    assert len(seen) == count


def test_half_of_a_killed_download_is_cleared_away_later(store: Store) -> None:
    old, new = store.downloads / ".mnist.aa.part", store.downloads / ".mnist.bb.part"
    for folder_path in (old, new):
        folder_path.mkdir()
    os.utime(old, (0, 0))
    (store.downloads / "mnist").mkdir()  # empty: not usable
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.MNIST, "download", lambda self: None)
        with pytest.raises(FeaturepackError):
            taken(MNIST, store)
    assert not old.exists()
    assert new.exists()


def test_an_unknown_set_is_not_found_with_the_known_ones(store: Store) -> None:
    with pytest.raises(NotFound) as caught:
        taken({"kind": "torchvision", "name": "imagenet21k"}, store)
    assert "cifar10" in caught.value.remedy
