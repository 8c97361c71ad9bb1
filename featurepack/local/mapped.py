"""A pack's file that is here, mapped into memory."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from featurepack.local.layout import Layout
from featurepack.local.locks import keep


@dataclass(frozen=True, eq=False)
class Mapped:
    """A complete file and its arrays: read-only, and read from the disk where they are touched.

    As long as one of its arrays lives the file is marked as in use. ``features`` [N, D] or
    [N, C, H, W] float32 or float16, ``labels_N`` int64, ``valid_N`` uint8.
    """

    path: Path
    layout: Layout
    file: npt.NDArray[np.uint8]

    @classmethod
    def open(cls, path: Path, layout: Layout) -> Mapped:
        """Map a file, and note that it was used. Raises FileNotFoundError."""
        with path.open("rb") as file:
            keep(file)
            mapped = cls(path, layout, np.memmap(file, np.uint8, "r"))
            with suppress(PermissionError):  # somebody else's file
                os.utime(file.fileno())
        return mapped

    @property
    def features(self) -> npt.NDArray[Any]:
        return self.layout.view(self.file, "features")

    @property
    def labels_N(self) -> npt.NDArray[np.int64]:
        return self.layout.view(self.file, "labels")

    @property
    def valid_N(self) -> npt.NDArray[np.uint8]:
        return self.layout.view(self.file, "valid")
