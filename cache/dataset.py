"""Which images: manifests, their identity, and subset views of them.

Shapes: N rows, H hash bytes (16).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cache.errors import InvalidRequest, NotFound
from cache.identity import DIGEST_BYTES, canonical_json
from cache.sight import SHARED

UNLABELLED = -1

Splits = dict[str, tuple[int, int]]


@dataclass(frozen=True)
class ImageLocation:
    """Where the bytes of the images are.

    ``blob``: one file in the store that holds all images one after the other; row i is
    ``size[i]`` bytes at ``start[i]``. ``folder``: files below the operator's data root; row i is
    the file ``row_id[i]`` below ``path``. ``pixels_HWC`` is the shape of every image of a blob of
    raw uint8 pixels, or None where the bytes are encoded files.
    """

    kind: Literal["blob", "folder"]
    path: str
    pixels_HWC: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class Manifest:
    """An immutable list of images: what a dataset version is.

    Rows of a split stand together; ``splits`` maps a name to ``(start, stop)``. ``label_N`` is
    an index into ``classes``, or -1. ``start_N`` and ``size_N`` locate the bytes in a blob and
    are zero for folders. Location and row ids are not part of the identity; ``space`` is, where it
    is a team's, so that the same images of two teams are two datasets, and nothing that is made of
    the one tells of the other.
    """

    classes: tuple[str, ...]
    splits: Splits
    row_id_N: list[str]
    label_N: npt.NDArray[np.int64]
    hash_NH: npt.NDArray[np.uint8]
    location: ImageLocation
    start_N: npt.NDArray[np.int64]
    size_N: npt.NDArray[np.int64]
    space: str = SHARED
    dataset_id: str = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.row_id_N)
        for column in (self.label_N, self.hash_NH, self.start_N, self.size_N):
            if len(column) != count:
                raise ValueError(f"a manifest column has {len(column)} rows, row_id has {count}")
        object.__setattr__(self, "dataset_id", self._identity())

    def _identity(self) -> str:
        header: dict[str, Any] = {
            "classes": list(self.classes),
            "splits": [[name, *self.splits[name]] for name in self.splits],
        }
        if self.space:
            header["space"] = self.space
        state = hashlib.blake2b(digest_size=DIGEST_BYTES, person=b"dataset")
        state.update(canonical_json(header) + b"\0")
        state.update(np.ascontiguousarray(self.label_N, dtype="<i8").data)
        state.update(np.ascontiguousarray(self.hash_NH).data)
        return state.hexdigest()

    def __len__(self) -> int:
        return len(self.row_id_N)

    def split_counts(self) -> dict[str, int]:
        return {name: stop - start for name, (start, stop) in self.splits.items()}

    def class_counts(self, split: str) -> list[int]:
        """Images of each class in a split, in the order of ``classes``."""
        start, stop = self.splits[split]
        labels = self.label_N[start:stop]
        counts = np.bincount(labels[labels >= 0], minlength=len(self.classes))
        return [int(count) for count in counts]

    def take(self, rows_by_split: dict[str, npt.NDArray[np.int64]]) -> Manifest:
        """A manifest of these rows of this one; empty splits are left out."""
        kept = {name: rows for name, rows in rows_by_split.items() if len(rows)}
        splits: Splits = {}
        position = 0
        for name, rows in kept.items():
            splits[name] = (position, position + len(rows))
            position += len(rows)
        rows_N = np.concatenate([*kept.values(), np.empty(0, np.int64)]).astype(np.int64)
        return Manifest(
            classes=self.classes,
            splits=splits,
            row_id_N=[self.row_id_N[row] for row in rows_N],
            label_N=self.label_N[rows_N],
            hash_NH=self.hash_NH[rows_N],
            location=self.location,
            start_N=self.start_N[rows_N],
            size_N=self.size_N[rows_N],
            space=self.space,
        )

    def within(self, space: str) -> Manifest:
        """The same images in another space."""
        return self if space == self.space else replace(self, space=space)


@dataclass(frozen=True, slots=True)
class View:
    """A subset of a dataset, the same one every time it is asked for.

    Applied in this order: ``validation`` moves that fraction of each class of ``train`` into a
    new split ``validation``; ``per_class`` keeps that many images of each class of ``train``;
    ``limit`` keeps at most that many rows of every split, classes in their proportions.

    Which rows are kept is decided by a keyed hash of each row's content and id (``seed`` is the
    key), not by a random number generator: it never depends on a library's version, and when a
    dataset grows most rows that were chosen before are chosen again.
    """

    per_class: int | None = None
    limit: int | None = None
    validation: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("per_class", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InvalidRequest(f"{name} is {value}", value=value, remedy="use 1 or more")
        if self.validation is not None and not 0 < self.validation < 1:
            raise InvalidRequest(
                f"validation is {self.validation}",
                value=self.validation,
                remedy="use a fraction between 0 and 1, such as 0.2",
            )

    @property
    def is_whole(self) -> bool:
        return self.per_class is None and self.limit is None and self.validation is None

    def as_dict(self) -> dict[str, Any]:
        return {
            "per_class": self.per_class,
            "limit": self.limit,
            "validation": self.validation,
            "seed": self.seed,
        }

    def apply(self, manifest: Manifest) -> Manifest:
        """The subset of ``manifest`` that this view names.

        Raises:
            NotFound: there is no split ``train`` to take from.
            InvalidRequest: a class with too few images, or a validation split that is there.
        """
        if self.is_whole:
            return manifest
        rank_N = _ranks(manifest, self.seed)
        rows = {name: np.arange(*span, dtype=np.int64) for name, span in manifest.splits.items()}
        if self.validation is not None:
            rows = self._split_off(manifest, rows, rank_N)
        if self.per_class is not None:
            train = _train_split(rows)
            rows[train] = self._per_class(manifest, rows[train], rank_N)
        if self.limit is not None:
            rows = {name: _limited(manifest, r, rank_N, self.limit) for name, r in rows.items()}
        return manifest.take(rows)

    def _split_off(
        self, manifest: Manifest, rows: dict[str, npt.NDArray[np.int64]], rank_N: npt.NDArray[Any]
    ) -> dict[str, npt.NDArray[np.int64]]:
        assert self.validation is not None
        if "validation" in rows:
            raise InvalidRequest(
                "the dataset has a validation split of its own",
                value=self.validation,
                remedy="leave out view.validation",
            )
        train = _train_split(rows)
        kept, moved = [], []
        for members in _by_class(manifest, rows[train]).values():
            ordered = members[np.argsort(rank_N[members], kind="stable")]
            count = round(len(members) * self.validation)
            moved.append(ordered[:count])
            kept.append(ordered[count:])
        split = {train: np.sort(np.concatenate(kept)), "validation": np.sort(np.concatenate(moved))}
        if not len(split[train]) or not len(split["validation"]):
            raise InvalidRequest(
                f"validation {self.validation} leaves an empty split",
                value=self.validation,
                remedy="use a fraction that leaves images on both sides",
            )
        return {**split, **{name: r for name, r in rows.items() if name != train}}

    def _per_class(
        self, manifest: Manifest, rows: npt.NDArray[np.int64], rank_N: npt.NDArray[Any]
    ) -> npt.NDArray[np.int64]:
        assert self.per_class is not None
        if not manifest.classes:
            raise InvalidRequest(
                "the dataset has no labels to take classes by",
                value=self.per_class,
                remedy="use limit, or register the images with labels",
            )
        chosen = []
        members_of = _by_class(manifest, rows)
        for label, name in enumerate(manifest.classes):
            members = members_of.get(label, np.empty(0, np.int64))
            if len(members) < self.per_class:
                raise InvalidRequest(
                    f"class {name!r} has {len(members)} images, per_class is {self.per_class}",
                    value=self.per_class,
                    remedy=f"use per_class of {len(members)} or less, or add images",
                )
            chosen.append(members[np.argsort(rank_N[members], kind="stable")[: self.per_class]])
        return np.sort(np.concatenate([*chosen, np.empty(0, np.int64)]))


def _ranks(manifest: Manifest, seed: int) -> npt.NDArray[Any]:
    """A 16-byte rank of every row, drawn by a keyed hash."""
    key = f"view {seed}".encode()
    ranks = [
        hashlib.blake2b(
            content.tobytes() + row_id.encode("utf-8", "surrogateescape"), digest_size=16, key=key
        ).digest()
        for content, row_id in zip(manifest.hash_NH, manifest.row_id_N, strict=True)
    ]
    # Padded by one, because numpy drops trailing zero bytes of an S string when it compares.
    return np.array([rank + b"\1" for rank in ranks], dtype="S17")


def _train_split(rows: dict[str, npt.NDArray[np.int64]]) -> str:
    if "train" in rows:
        return "train"
    if len(rows) == 1:
        return next(iter(rows))
    raise NotFound(
        f"no split is named 'train'; there are {', '.join(rows)}",
        value=list(rows),
        remedy="name the training split 'train'",
    )


def _by_class(manifest: Manifest, rows: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int64]]:
    labels = manifest.label_N[rows]
    return {int(label): rows[labels == label] for label in np.unique(labels)}


def _limited(
    manifest: Manifest, rows: npt.NDArray[np.int64], rank_N: npt.NDArray[Any], limit: int
) -> npt.NDArray[np.int64]:
    """At most ``limit`` of ``rows``: the first of each class by rank, in the classes' proportions.

    Row j of a class of n stands at (j + 1/2) / n; the rows that stand earliest are kept.
    """
    if len(rows) <= limit:
        return rows
    standing = np.empty(len(rows))
    where = {int(row): index for index, row in enumerate(rows)}
    for members in _by_class(manifest, rows).values():
        ordered = members[np.argsort(rank_N[members], kind="stable")]
        places = [where[int(row)] for row in ordered]
        standing[places] = (np.arange(len(ordered)) + 0.5) / len(ordered)
    order = np.lexsort((rank_N[rows], standing))
    return np.sort(rows[order[:limit]])
