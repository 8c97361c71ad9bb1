"""Small real images, made by the test that needs them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def write_image_folder(
    root: Path, splits: dict[str, dict[str, int]], *, side: int = 24, seed: int = 0
) -> Path:
    """``split/class/NNN.png`` with smooth random images, as many as ``splits`` says."""
    random = np.random.default_rng(seed)
    for split, classes in splits.items():
        for index, (name, count) in enumerate(classes.items()):
            folder = root / split / name
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                (folder / f"{number:03}.png").write_bytes(png(random, side, index))
    return root


def png(random: np.random.Generator, side: int, shade: int) -> bytes:
    """A PNG of random blocks, the darker the higher ``shade`` is."""
    blocks = random.integers(0, 256, (4, 4, 3)) // (1 + shade % 3)
    image = Image.fromarray(blocks.astype(np.uint8)).resize((side, side), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()
