"""How far features are from those of the CPU in float32, and what nvJPEG's pixels change.

Shapes: N images, D features, H, W.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_jpeg

from cache.recipe import Tap, Transform
from worker.engines import Engine
from worker.networks import pool
from worker.pixels.images import decode
from worker.pixels.transforms import prepare

JPEGS_AT_ONCE = 64


def pixels_of(files: Sequence[bytes], transform: Transform) -> Tensor:
    """The engine's input of JPEG files, decoded by Pillow."""
    return torch.cat([prepare(decode(data)[None], transform) for data in files])


def nvjpeg_pixels_of(
    files: Sequence[bytes], transform: Transform, device: torch.device
) -> tuple[Tensor, dict[str, float]]:
    """As :func:`pixels_of`, decoded on the device; and how far its pixels are from Pillow's."""
    images = []
    largest, total = 0, 0.0
    for data, decoded_CHW in zip(files, _decoded(files, device), strict=True):
        pixels_HWC = decoded_CHW.permute(1, 2, 0).cpu().numpy()
        difference = np.abs(pixels_HWC.astype(np.int16) - decode(data))
        largest, total = max(largest, int(difference.max())), total + float(difference.mean())
        images.append(prepare(np.ascontiguousarray(pixels_HWC)[None], transform))
    return torch.cat(images), {
        "largest_pixel_difference": largest,
        "mean_pixel_difference": total / len(files),
    }


def nvjpeg_rate(files: Sequence[bytes], device: torch.device, seconds: float) -> float:
    """Images/s of torchvision's decoder on that device."""
    some = [files[number % len(files)] for number in range(JPEGS_AT_ONCE)]
    _decoded(some, device)
    decoded, began = 0, time.perf_counter()
    while (spent := time.perf_counter() - began) < seconds:
        images = _decoded(some, device)
        images[-1].sum().item()  # done when this is
        decoded += len(images)
    return decoded / spent


def distance(features_ND: Tensor, reference_ND: Tensor) -> dict[str, float]:
    """The largest relative error of a row and the smallest cosine, as certificates have them."""
    found_ND, expected_ND = features_ND.double(), reference_ND.double()
    error_N = (found_ND - expected_ND).abs().amax(1) / expected_ND.abs().amax(1).clamp(min=1e-30)
    cosine_N = torch.cosine_similarity(found_ND, expected_ND)
    return {"largest_error": error_N.max().item(), "smallest_cosine": cosine_N.min().item()}


def features(outputs: dict[str, Tensor], tap: Tap) -> Tensor:
    """float32 ``[N, D]`` on the CPU."""
    return pool(outputs[tap.layer], tap.pool).cpu().flatten(1)


def same_bits_anywhere(engine: Engine, images: Tensor, tap: Tap) -> bool:
    """Whether rows stay the same, bit for bit, at other places and with other neighbours."""
    once_ND = features(engine.run(images), tap)
    count, places = len(images), engine.batch
    full = images[torch.arange(places) % count].flip(0)  # a whole batch, the other way round
    found_BD = features(engine.run(full), tap)
    number_B = (torch.arange(places) % count).flip(0)
    return torch.equal(found_BD, once_ND[number_B])


def _decoded(files: Sequence[bytes], device: torch.device) -> list[Tensor]:
    encoded = [torch.frombuffer(bytearray(data), dtype=torch.uint8) for data in files]
    images: list[Any] = decode_jpeg(encoded, mode=ImageReadMode.RGB, device=device)
    return images
