"""The images: small PNGs, mosaics of them as JPEGs, arrays. The same ones every time.

Shapes: N images, H, W.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

WARM = 256
"""Images beside the measured ones, of the same kind, that nothing is measured with."""

SIDE = 32
MOSAIC_WH = (500, 375)
TILES = (4, 3)
NOISE = 6.0
"""Standard deviation: at quality 90 a mosaic has the 57 KB of a usual photograph of its size."""

Pixels = npt.NDArray[np.uint8]
Named = Sequence[tuple[str, bytes]]


def small_pngs(archive: Path | None, count: int) -> list[tuple[str, bytes]]:
    """``class/number.png`` and its bytes: the first of an archive ``split/class/file``, or made up.

    Raises:
        ValueError: the archive has fewer.
    """
    if archive is None:
        return [(f"class{n % 10}/{n:05}.png", _made_up(n)) for n in range(count)]
    with zipfile.ZipFile(archive) as images:
        names = [name for name in images.namelist() if name.endswith(".png")][:count]
        if len(names) < count:
            raise ValueError(f"{archive} has {len(names)} images, {count} are needed")
        return [
            (f"{name.split('/')[-2]}/{n:05}.png", images.read(name)) for n, name in enumerate(names)
        ]


def _made_up(seed: int) -> bytes:
    """A smooth random image with some noise, as PNG."""
    random = np.random.default_rng(seed)
    blocks = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8))
    smooth_HWC = np.asarray(blocks.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.float32)
    noisy_HWC = smooth_HWC + random.normal(0, 6, smooth_HWC.shape)
    return _encoded(noisy_HWC.clip(0, 255).astype(np.uint8), "PNG")


def mosaics(small: Named, count: int, *, seed: int = 0) -> list[tuple[str, bytes]]:
    """``class/number.jpg`` and its bytes: 500 × 375 JPEGs of upscaled small images and noise."""
    random = np.random.default_rng(seed)
    tiles = [Image.open(io.BytesIO(data)).convert("RGB") for _, data in small]
    width, height = MOSAIC_WH
    columns, rows = TILES
    size = -(-width // columns), -(-height // rows)
    made = []
    for number in range(count):
        canvas = Image.new("RGB", MOSAIC_WH)
        for place, tile in enumerate(random.integers(0, len(tiles), columns * rows)):
            corner = place % columns * size[0], place // columns * size[1]
            canvas.paste(tiles[tile].resize(size, Image.Resampling.BICUBIC), corner)
        noise_HWC = random.normal(0, NOISE, (height, width, 3)).astype(np.float32)
        pixels_HWC = (np.asarray(canvas, np.float32) + noise_HWC).clip(0, 255).astype(np.uint8)
        made.append((f"class{number % 10}/{number:05}.jpg", _encoded(pixels_HWC, "JPEG")))
    return made


def _encoded(pixels_HWC: Pixels, form: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_HWC).save(buffer, form, quality=90)
    return buffer.getvalue()


def write_folders(folder: Path, images: Named) -> None:
    """All but the last ``WARM`` into ``folder``, those into ``<folder>-warm``."""
    warm = folder.with_name(f"{folder.name}-warm")
    for number, (name, data) in enumerate(images):
        path = (folder if number < len(images) - WARM else warm) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_arrays(path: Path, rows: int, *, seed: int = 0) -> None:
    """An ``.npz`` of ``[rows, 32, 32, 3]`` random pixels, all rows different, and labels."""
    random = np.random.default_rng(seed)
    images_NHWC = random.integers(0, 256, (rows, SIDE, SIDE, 3), np.uint8)
    np.savez(path, images=images_NHWC, labels=np.arange(rows, dtype=np.int64) % 10)
