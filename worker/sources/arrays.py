"""Uploaded arrays of images and labels: which array is what, and what their values mean.

Names: ``images``, ``image``, ``features``, ``x``, ``data`` hold images; ``labels``, ``label``,
``y``, ``targets``, ``target`` hold labels; each may be joined by a split (``x_train``,
``test-labels``, the HDF5 group ``train/images``); ``classes`` or ``class_names`` name the
classes. Capitals do not matter, other names are ignored. Where the name says no split, the name
of the file does; what neither does is ``train``. Rows keep their order; several files of one
split follow each other.

Where ``classes`` are given, integer labels index them; otherwise the classes are the labels that
occur, integers in numerical order. What values mean is in ``array_values.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

from cache.dataset import UNLABELLED
from cache.errors import InvalidRequest, TooLarge
from worker.sources.array_values import Label, NamedArray, read_labels, shape_HWC, to_pixels
from worker.sources.layout import SPLIT_OF_WORD, split_order
from worker.sources.source import Images, IngestLimits, Source, SourceImage

_ROLE = (
    dict.fromkeys(("images", "image", "features", "x", "data"), "images")
    | dict.fromkeys(("labels", "label", "y", "targets", "target"), "labels")
    | {"classes": "classes"}
)
_REMEDY = "name the arrays images and labels, or x_train, y_train, x_test, y_test"


@dataclass(frozen=True)
class Part:
    """Images ``[N, …]`` of a split and their labels ``[N]``, if there are any."""

    split: str
    images: NamedArray
    labels: NamedArray | None


def parts_of(name: str, arrays: Mapping[str, NamedArray]) -> tuple[list[Part], tuple[str, ...]]:
    """The parts that a file's arrays make up, and its class names (empty where it has none).

    Raises:
        InvalidRequest: no images, labels without images, or two arrays with the same meaning.
    """
    found: dict[tuple[str, str], NamedArray] = {}
    file_split = split_of_file(name)
    for key, array in arrays.items():
        words = re.split(r"[/_.\- ]+", key.lower().replace("class_names", "classes"))
        roles = [_ROLE[word] for word in words if word in _ROLE]
        splits = [SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD]
        if len(roles) != 1 or len(splits) > 1 or len(words) > 1 + len(splits):
            continue
        meaning = (splits[0] if splits else file_split, roles[0])
        if roles[0] == "classes":
            meaning = ("", "classes")
        if meaning in found:
            raise InvalidRequest(
                f"{name!r} has two arrays of {' '.join(meaning).strip()}, one is {key!r}",
                value=key,
                remedy=_REMEDY,
            )
        found[meaning] = array
    class_names = found.pop(("", "classes"), None)
    splits_found = sorted({split for split, _ in found}, key=split_order)
    without = [split for split in splits_found if (split, "images") not in found]
    if without or not found:
        raise InvalidRequest(
            f"{name!r} has no array of images{f' for {without[0]!r}' if without else ''}; "
            f"it has {', '.join(sorted(arrays)[:20]) or 'no arrays'}",
            value=sorted(arrays)[:20],
            remedy=_REMEDY,
        )
    parts = [Part(s, found[s, "images"], found.get((s, "labels"))) for s in splits_found]
    return parts, tuple(map(str, read_labels(class_names, "classes"))) if class_names else ()


def split_of_file(name: str) -> str:
    """The split that a file's name speaks of: ``…_validation.p``, ``test.npz``, else ``train``."""
    words = re.split(r"[^a-z]+", name.lower())
    found = {SPLIT_OF_WORD[word] for word in words if word in SPLIT_OF_WORD}
    if len(found) > 1:
        raise InvalidRequest(
            f"the file name {name!r} speaks of two splits",
            value=name,
            remedy="name the file after one of train, validation and test",
        )
    return found.pop() if found else "train"


def source_of_parts(
    parts: Sequence[Part], classes: tuple[str, ...], limits: IngestLimits
) -> Source:
    """The images of all parts, by split, in their order.

    Raises:
        InvalidRequest: shapes, types or values that are not images or labels, now or on the way.
        TooLarge: images of more than ``max_pixels``, or more than ``max_rows`` of them.
    """
    ordered = sorted(parts, key=lambda part: split_order(part.split))
    rows = sum(part.images.shape[0] for part in ordered)
    if rows > limits.max_rows:
        raise TooLarge(
            f"the arrays have {rows} images, the limit is {limits.max_rows}",
            value=rows,
            remedy="split the dataset",
        )
    shapes = {shape_HWC(part.images, limits) for part in ordered}
    if len(shapes) > 1:
        raise InvalidRequest(
            f"images have different shapes: {sorted(shapes)}",
            value=sorted(shapes),
            remedy="give all arrays the same height, width and channels",
        )
    columns = [_labels_of(part) for part in ordered]
    values = {value for column in columns for value in column or () if value != UNLABELLED}
    names = _names(values, classes) | {UNLABELLED: None}
    return Source(
        images=_images(ordered, columns, names),
        classes=classes or tuple(str(value) for value in sorted(values)),
        by_name=False,
    )


def _names(values: set[Label], classes: tuple[str, ...]) -> dict[Label, str | None]:
    """The class of each label that occurs."""
    if len({type(value) for value in values}) > 1:
        raise InvalidRequest(
            "some labels are integers, others are strings",
            value=None,
            remedy="use the same kind of label in all arrays",
        )
    if not classes:
        return {value: str(value) for value in values}
    if len(set(classes)) < len(classes):
        raise InvalidRequest(
            "a class is named twice", value=list(classes), remedy="give each class its own name"
        )
    known: dict[Label, str | None] = {**dict(enumerate(classes)), **{n: n for n in classes}}
    unknown = [value for value in values if value not in known]
    if unknown:
        raise InvalidRequest(
            f"the label {unknown[0]!r} is none of {len(classes)} classes",
            value=unknown[0],
            remedy="let integers index the array of classes, or leave that array out",
        )
    return known


def _labels_of(part: Part) -> list[Label] | None:
    # The number of images is what a header claims: nothing may be made of that size here.
    count = part.images.shape[0]
    if part.labels is None:
        return None
    labels = part.labels.shape[0] if part.labels.shape else 0
    if labels != count:
        raise InvalidRequest(
            f"{part.split!r} has {count} images and {labels} labels",
            value=[count, labels],
            remedy="give one label for each image",
        )
    return read_labels(part.labels, f"labels of {part.split}")


def _images(
    parts: Sequence[Part],
    columns: Sequence[Sequence[Label] | None],
    names: Mapping[Label, str | None],
) -> Images:
    counts: dict[str, int] = {}
    for part, column in zip(parts, columns, strict=True):
        labels = iter(column) if column is not None else repeat(UNLABELLED)
        for block in part.images.blocks():
            for pixels_HWC in to_pixels(block):
                position = counts.get(part.split, 0)
                counts[part.split] = position + 1
                row_id = f"{part.split}/{position}"
                yield SourceImage(row_id, part.split, names[next(labels)], pixels_HWC)
