"""Whole float32 products, and the same ones every time, on CUDA."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

_LOCK = threading.Lock()
_inside = 0
_after = ExitStack()


@contextmanager
def exact_float32() -> Generator[None]:
    """TF32 off and cuDNN deterministic while it lasts.

    TF32 rounds float32 products to 10 bits of mantissa. The switches are those of the whole
    process, so the first thread to enter turns them and the last one to leave turns them back.
    Only the newer ones (``fp32_precision``) are used: torch raises where they and ``allow_tf32``
    are mixed.
    """
    global _inside
    with _LOCK:
        if _inside == 0:
            _turn()
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                _after.close()


def _turn() -> None:
    backends: Any = torch.backends
    for owner in (backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn):
        _after.callback(setattr, owner, "fp32_precision", owner.fp32_precision)
        owner.fp32_precision = "ieee"
    _after.callback(setattr, backends.cudnn, "deterministic", backends.cudnn.deterministic)
    backends.cudnn.deterministic = True
