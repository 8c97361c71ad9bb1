"""The classification sets that torchvision can download, as a table.

Each set has a folder of its own in the store's ``downloads``, which is the ``root`` given to
torchvision. Files that somebody put there by hand are used, archives too. A download goes to a
folder beside it and gets that name only when all splits could be opened: torchvision takes some
sets for complete as soon as a folder exists, so half of one must never stand there.

Sets of files keep the encoded bytes of their files; sets of arrays give raw uint8 pixels, as
torchvision presents them (EMNIST's letters lie on their side).
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from torchvision import datasets

from cache.errors import NotFound, TooLarge, Unreachable
from cache.hdf5_arrays import open_hdf5_arrays
from cache.store import Store
from worker.sources.array_values import InMemory
from worker.sources.arrays import Part, source_of_parts
from worker.sources.layout import split_order
from worker.sources.source import Budget, Images, IngestLimits, Source, SourceImage

_STALE_SECONDS = 86_400
_DIGITS = tuple("0123456789")
_TRAIN_FLAG = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST = {"train": {"split": "train"}, "test": {"split": "test"}}
_TRAIN_VAL_TEST = _TRAIN_TEST | {"validation": {"split": "val"}}
_TRAIN_VALID_TEST = _TRAIN_TEST | {"validation": {"split": "valid"}}
_WHOLE: dict[str, dict[str, Any]] = {"train": {}}


@dataclass(frozen=True)
class TorchvisionSet:
    """How torchvision presents a set.

    ``class_name`` in ``torchvision.datasets``; ``splits`` from our names to its arguments;
    ``images`` and ``labels`` its attributes (``labels`` empty: ``images`` holds pairs). ``classes``
    are named here only where torchvision does not know them.
    """

    class_name: str
    kind: Literal["arrays", "files", "caltech", "pcam"]
    splits: Mapping[str, dict[str, Any]]
    images: str = "data"
    labels: str = "targets"
    classes: tuple[str, ...] = field(default=())


def _files(class_name: str, splits: Mapping[str, Any], images: str, labels: str) -> TorchvisionSet:
    return TorchvisionSet(class_name, "files", splits, images, labels)


_BALANCED = {name: {"split": "balanced", "train": name == "train"} for name in _TRAIN_FLAG}
_TRAINVAL_TEST = {"train": {"split": "trainval"}, "test": {"split": "test"}}
_TRAIN_VAL = {"train": {"split": "train"}, "validation": {"split": "val"}}

SETS: dict[str, TorchvisionSet] = {
    "cifar10": TorchvisionSet("CIFAR10", "arrays", _TRAIN_FLAG),
    "cifar100": TorchvisionSet("CIFAR100", "arrays", _TRAIN_FLAG),
    "mnist": TorchvisionSet("MNIST", "arrays", _TRAIN_FLAG),
    "fashion_mnist": TorchvisionSet("FashionMNIST", "arrays", _TRAIN_FLAG),
    "kmnist": TorchvisionSet("KMNIST", "arrays", _TRAIN_FLAG),
    "qmnist": TorchvisionSet("QMNIST", "arrays", _TRAIN_FLAG),
    "emnist": TorchvisionSet("EMNIST", "arrays", _BALANCED),
    "usps": TorchvisionSet("USPS", "arrays", _TRAIN_FLAG, classes=_DIGITS),
    "svhn": TorchvisionSet("SVHN", "arrays", _TRAIN_TEST, labels="labels", classes=_DIGITS),
    "stl10": TorchvisionSet("STL10", "arrays", _TRAIN_TEST, labels="labels"),
    "pcam": TorchvisionSet("PCAM", "pcam", _TRAIN_VAL_TEST, classes=("normal", "tumor")),
    "caltech101": TorchvisionSet("Caltech101", "caltech", _WHOLE),
    "gtsrb": _files("GTSRB", _TRAIN_TEST, "_samples", ""),
    "imagenette": _files("Imagenette", _TRAIN_VAL, "_samples", ""),
    "rendered_sst2": _files("RenderedSST2", _TRAIN_VAL_TEST, "_samples", ""),
    "stanford_cars": _files("StanfordCars", _TRAIN_TEST, "_samples", ""),
    "country211": _files("Country211", _TRAIN_VALID_TEST, "samples", ""),
    "eurosat": _files("EuroSAT", _WHOLE, "samples", ""),
    "dtd": _files("DTD", _TRAIN_VAL_TEST, "_image_files", "_labels"),
    "fgvc_aircraft": _files("FGVCAircraft", _TRAIN_VAL_TEST, "_image_files", "_labels"),
    "flowers102": _files("Flowers102", _TRAIN_VAL_TEST, "_image_files", "_labels"),
    "food101": _files("Food101", _TRAIN_TEST, "_image_files", "_labels"),
    "sun397": _files("SUN397", _WHOLE, "_image_files", "_labels"),
    "oxford_iiit_pet": _files("OxfordIIITPet", _TRAINVAL_TEST, "_images", "_labels"),
}


def open_torchvision(name: str, store: Store, limits: IngestLimits) -> Source:
    """The images of a set, downloaded if it is not there yet.

    Raises:
        NotFound: no set has this name.
        Unreachable: it is not there and cannot be downloaded, or a file of it is missing.
        TooLarge: an image or the set is beyond the limits.
    """
    known = SETS.get(name)
    if known is None:
        raise NotFound(
            f"no torchvision set {name!r}", value=name, remedy=f"use one of: {', '.join(SETS)}"
        )
    opened = _open_or_download(name, known, store.downloads / name)
    classes = _classes(known, opened)
    if known.kind in ("files", "caltech"):
        return Source(_read_files(name, known, opened, classes, store, limits), classes)
    with ExitStack() as resources:
        parts = [_part(known, split, found, limits, resources) for split, found in opened.items()]
        source = source_of_parts(parts, classes, limits)
        return replace(source, resources=resources.pop_all())


def _open(known: TorchvisionSet, root: Path, *, download: bool) -> dict[str, Any]:
    factory = getattr(datasets, known.class_name)
    return {
        split: factory(root=str(root), download=download, **arguments)
        for split, arguments in sorted(known.splits.items(), key=lambda item: split_order(item[0]))
    }


def _open_or_download(name: str, known: TorchvisionSet, final: Path) -> dict[str, Any]:
    """torchvision's datasets by split."""
    missing: Exception | str = "it has no folder"
    if final.exists():  # some sets make an empty folder by being looked for
        try:
            return _open(known, final, download=False)
        except Exception as error:  # torchvision raises what it likes where files are missing
            missing = error
    beside = final.with_name(f".{name}.{secrets.token_hex(4)}.part")
    _remove_stale(final)
    try:
        beside.mkdir(parents=True)
        if final.exists():
            shutil.copytree(final, beside, dirs_exist_ok=True)
        _open(known, beside, download=True)
        if final.exists():  # its files are all in the new folder
            os.replace(final, beside.with_suffix(".old.part"))
        os.replace(beside, final)
        return _open(known, final, download=False)
    except Exception as error:
        raise Unreachable(
            f"the set {name!r} is not here ({missing}) and its download failed: {error}",
            value=name,
            remedy=f"try again later; or put its files into {final}, laid out as "
            f"torchvision.datasets.{known.class_name} has them in its root; or upload the images "
            "as an archive or as arrays",
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        shutil.rmtree(beside.with_suffix(".old.part"), ignore_errors=True)


def _remove_stale(final: Path) -> None:
    """What a worker that was killed while downloading left behind."""
    for left in final.parent.glob(f".{final.name}.*.part"):
        if left.stat().st_mtime < time.time() - _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


def _classes(known: TorchvisionSet, opened: Mapping[str, Any]) -> tuple[str, ...]:
    first = next(iter(opened.values()))
    names = known.classes or getattr(first, "classes", None) or getattr(first, "categories", None)
    if not names:
        labels = {label for found in opened.values() for _, label in _samples(known, found)}
        names = range(max(labels) + 1)
    # Imagenette gives each class several names, the usual one first.
    return tuple(str(name[0] if isinstance(name, tuple) else name) for name in names)


def _samples(known: TorchvisionSet, found: Any) -> list[tuple[str, int]]:
    """Path and label of each image file."""
    if known.kind == "caltech":
        folder = Path(found.root, "101_ObjectCategories")
        return [
            (str(folder / found.categories[label] / f"image_{number:04d}.jpg"), label)
            for number, label in zip(found.index, found.y, strict=True)
        ]
    images = getattr(found, known.images)
    pairs = zip(images, getattr(found, known.labels), strict=True) if known.labels else images
    return [(str(path), int(label)) for path, label in pairs]


def _read_files(
    name: str,
    known: TorchvisionSet,
    opened: Mapping[str, Any],
    classes: tuple[str, ...],
    store: Store,
    limits: IngestLimits,
) -> Images:
    root = store.downloads / name
    for split, found in opened.items():
        for path, label in _samples(known, found):
            try:
                data = Path(path).read_bytes()
            except OSError as error:
                raise Unreachable(
                    f"the set {name!r} lacks the file {path}: {error.strerror}",
                    value=path,
                    remedy=f"put the file there, or remove {root} to have the set downloaded again",
                ) from error
            if len(data) > limits.max_image_bytes:
                raise TooLarge(
                    f"the image {path} has more than {limits.max_image_bytes} bytes",
                    value=path,
                    remedy="raise the limit",
                )
            yield SourceImage(Path(path).relative_to(root).as_posix(), split, classes[label], data)


def _part(
    known: TorchvisionSet, split: str, found: Any, limits: IngestLimits, resources: ExitStack
) -> Part:
    if known.kind == "pcam":
        folder, names = Path(found._base_folder), found._FILES[found._split]
        images, labels = folder / names["images"][0], folder / names["targets"][0]
        size = images.stat().st_size + labels.stat().st_size
        spend = Budget(limits, size).spend
        return Part(
            split,
            open_hdf5_arrays(images, spend, resources)["x"],
            open_hdf5_arrays(labels, spend, resources)["y"],
        )
    labels_N = np.asarray(getattr(found, known.labels))
    if labels_N.ndim == 2:  # QMNIST: the class, then facts about the writer
        labels_N = labels_N[:, 0]
    return Part(split, InMemory(np.asarray(getattr(found, known.images))), InMemory(labels_N))
