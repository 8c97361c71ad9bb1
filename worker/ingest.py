"""A source of images → a manifest and, where the images do not stay in place, a blob.

Images are written to a file beside the final ones as they come, one after the other and in one
pass, so memory does not grow with the dataset. Then the rows are ordered: by split (train,
validation, test, others), and within a split by class and row id; rows of arrays keep their
order. The manifest's ``start_N`` and ``size_N`` point into the blob. Blob and manifest get their
names when both are whole; after an error nothing is left.

Images are not decoded here: a broken one becomes an invalid row when features are extracted.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from cache.atomic import publish
from cache.dataset import UNLABELLED, ImageLocation, Manifest, Splits
from cache.disk_faults import unreadable
from cache.errors import CorruptData, InvalidRequest, NotFound, TooLarge
from cache.identity import DIGEST_BYTES, hash_file_bytes, hash_pixels
from cache.sight import SHARED
from cache.store import Store
from worker.pixels.image_reader import ImageReader
from worker.sources.layout import split_order
from worker.sources.registry import open_source
from worker.sources.source import IngestLimits, Source, SourceImage

__all__ = ["IngestLimits", "ingest"]

PROGRESS_SECONDS = 0.5
_BUFFER_BYTES = 1 << 20

Progress = Callable[[int], None]
"""Told how many images have been taken in so far; may raise to stop."""
Fit = Callable[[str, int], None]
"""Told a dataset's id and how many bytes of images are to be kept; may raise to refuse."""


def ingest(
    spec: Mapping[str, Any],
    store: Store,
    limits: IngestLimits = IngestLimits(),  # noqa: B008 - a frozen value
    progress: Progress | None = None,
    fit: Fit | None = None,
    *,
    space: str = SHARED,
    beside: Path | None = None,
) -> Manifest:
    """Take in the images that ``spec`` names (see ``open_source``) and publish their manifest.

    Images of another space are not looked for, so how long it takes tells nothing of them.
    ``beside`` is where images are kept until then; whoever may end this process names it.

    Raises:
        InvalidRequest, NotFound, TooLarge, CorruptData, Unavailable: as the source is; an empty
            dataset is an InvalidRequest.
        Whatever ``fit`` raises.
    """
    beside = beside or store.root / "datasets" / f".ingest.{secrets.token_hex(8)}.part"
    try:
        source = open_source(spec, store, limits)
        with source.resources, closing(source.images):
            rows = _take(source, beside, limits, progress or (lambda _: None))
        manifest = rows.manifest(source).within(space)
        if source.folder is None:
            if fit is not None:
                fit(manifest.dataset_id, int(manifest.size_N.sum()))
            manifest = _publish(manifest, beside, store)
        _save(manifest, store)
        return manifest
    except OSError as error:
        raise unreadable(error)(
            f"a file could not be read or written: {error}",
            value=str(error.filename),
            remedy="check the worker's disk and permissions, then register the dataset again",
        ) from error
    finally:
        beside.unlink(missing_ok=True)


@dataclass
class _Rows:
    """What is known of the images taken in, in the order in which they came."""

    row_ids: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    hashes: bytearray = field(default_factory=bytearray)
    sizes: list[int] = field(default_factory=list)
    pixels_HWC: tuple[int, int, int] | None = None

    def add(self, image: SourceImage) -> bytes | memoryview:
        """Note an image; gives the bytes that stand for it in a blob."""
        self.row_ids.append(image.row_id)
        self.splits.append(image.split)
        self.labels.append(image.label)
        data: bytes | memoryview
        if isinstance(image.data, bytes):
            data = image.data
            self.hashes += hash_file_bytes(data)
        else:
            pixels = np.ascontiguousarray(image.data)
            data = pixels.data.cast("B")
            self.hashes += hash_pixels(pixels)
            self.pixels_HWC = (pixels.shape[0], pixels.shape[1], pixels.shape[2])
        self.sizes.append(len(data))
        return data

    def manifest(self, source: Source) -> Manifest:
        """The rows in their final order; locations in a blob are those of arrival."""
        splits, labels = self.splits, self.labels
        if source.place is not None:
            places = source.place(self.row_ids)
            splits, labels = [split for split, _ in places], [label for _, label in places]
        classes = source.classes
        if classes is None:
            classes = tuple(sorted({label for label in labels if label is not None}))
        index_of: dict[str | None, int] = {name: index for index, name in enumerate(classes)}
        index_of[None] = UNLABELLED
        split_names = sorted(set(splits), key=split_order)
        rank_of = {name: rank for rank, name in enumerate(split_names)}
        ranks, indices = [rank_of[split] for split in splits], [index_of[name] for name in labels]
        label_N = np.array(indices, np.int64)
        order = np.argsort(np.array(ranks, np.int64), kind="stable")
        if source.by_name:
            keys = list(zip(ranks, indices, self.row_ids, strict=True))
            order = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        size_N = np.array(self.sizes, np.int64)
        start_N = np.cumsum(size_N) - size_N
        in_blob = source.folder is None
        return Manifest(
            classes=classes,
            splits=_spans(split_names, np.bincount(ranks).tolist()),
            row_id_N=[self.row_ids[row] for row in order],
            label_N=label_N[order],
            hash_NH=np.frombuffer(bytes(self.hashes), np.uint8).reshape(-1, DIGEST_BYTES)[order],
            location=ImageLocation("blob", "", self.pixels_HWC)
            if source.folder is None
            else ImageLocation("folder", source.folder),
            start_N=start_N[order] * in_blob,
            size_N=size_N[order] * in_blob,
        )


def _spans(names: list[str], counts: list[int]) -> Splits:
    splits: Splits = {}
    start = 0
    for name, count in zip(names, counts, strict=True):
        splits[name] = (start, start + count)
        start += count
    return splits


def _take(source: Source, blob: Path, limits: IngestLimits, progress: Progress) -> _Rows:
    """Read all images, hash them, and append them to ``blob`` unless they stay in place."""
    rows, written, told = _Rows(), 0, time.monotonic()
    with blob.open("wb", buffering=_BUFFER_BYTES) as file:
        for image in source.images:
            data = rows.add(image)
            if source.folder is None:
                written += len(data)
                if written > limits.max_bytes:
                    raise TooLarge(
                        f"the images have more than {limits.max_bytes} bytes",
                        value=image.row_id,
                        remedy="split the dataset, or register a folder below the data root",
                    )
                file.write(data)
            if time.monotonic() - told > PROGRESS_SECONDS:
                progress(len(rows.row_ids))
                told = time.monotonic()
    if not rows.row_ids:
        raise InvalidRequest(
            "the source holds no images",
            value=None,
            remedy="give JPEG, PNG, PPM, BMP, WebP or GIF files, or an array with rows",
        )
    progress(len(rows.row_ids))
    return rows


def _publish(manifest: Manifest, beside: Path, store: Store) -> Manifest:
    """Give the blob its name, or keep one that is there and holds the same images.

    Two uploads of one dataset may have their images in different orders. A blob that is replaced
    under readers that know the old order would look corrupt to them.
    """
    final = store.blob(manifest.dataset_id)
    location = replace(manifest.location, path=final.name)
    manifest = replace(manifest, location=location)
    known = _intact(manifest, store)
    if known is not None:
        return replace(manifest, start_N=known.start_N, size_N=known.size_N)
    publish(beside, final)
    return manifest


def _save(manifest: Manifest, store: Store) -> None:
    try:
        store.save_manifest(manifest)
    except BaseException:
        if not store.manifest(manifest.dataset_id).exists():
            store.blob(manifest.dataset_id).unlink(missing_ok=True)
        raise


def _intact(manifest: Manifest, store: Store) -> Manifest | None:
    """The manifest of the same dataset whose blob is in the store, if all its images are whole."""
    try:
        known = store.load_manifest(manifest.dataset_id)
        if known.location != manifest.location:
            return None
        with ImageReader(known, store) as reader:
            for row in range(len(known)):
                reader.read(row)
    except (NotFound, CorruptData):
        return None
    return known
