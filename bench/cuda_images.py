"""Images for ``bench.cuda``: random arrays, and JPEG files of 500 x 375 with 50 to 60 KB each."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from cache.dataset import Manifest
from cache.store import Store
from worker.ingest import ingest

WIDTH, HEIGHT = 500, 375
BLUR, QUALITY = 1.3, 90
"""Noise that is blurred so little compresses as badly as a detailed photograph."""


def jpeg(seed: int) -> bytes:
    """The file of one image; the same for the same seed."""
    noise_HWC = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    image = Image.fromarray(noise_HWC).filter(ImageFilter.GaussianBlur(BLUR))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def jpeg_folder(store: Store, count: int) -> Manifest:
    """A dataset of that many JPEG files below the store's data root."""
    assert store.data_root is not None
    folder = store.data_root / "jpeg" / "train" / "noise"
    folder.mkdir(parents=True)

    def write(number: int) -> None:
        (folder / f"{number:05}.jpg").write_bytes(jpeg(number))

    with ThreadPoolExecutor() as threads:
        list(threads.map(write, range(count)))
    return ingest({"kind": "folder", "path": "jpeg"}, store)


def array_dataset(store: Store, count: int, side: int) -> Manifest:
    """A dataset of that many square images of random pixels, kept as they are."""
    pixels_NHWC = np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8)
    path: Path = store.new_incoming()
    with path.open("wb") as file:
        np.savez(file, images=pixels_NHWC, labels=np.zeros(count, np.int64))
    return ingest({"kind": "upload", "files": [{"path": str(path), "name": "a.npz"}]}, store)
