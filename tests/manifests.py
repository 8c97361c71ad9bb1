"""Small manifests for tests of what lies under them."""

from __future__ import annotations

import numpy as np

from cache.dataset import ImageLocation, Manifest


def plain_manifest(rows: int, classes: int = 3, *, seed: int = 0) -> Manifest:
    """Rows in ``train`` and, the last fifth, in ``validation``."""
    random = np.random.default_rng(seed)
    in_train = rows - rows // 5
    return Manifest(
        classes=tuple(f"Klasse {k} 类" for k in range(classes)),
        splits={"train": (0, in_train), "validation": (in_train, rows)},
        row_id_N=[f"ä/{index}.png" for index in range(rows)],
        label_N=random.integers(0, classes, rows),
        hash_NH=random.integers(0, 256, (rows, 16), np.uint8),
        location=ImageLocation("folder", "x"),
        start_N=np.zeros(rows, np.int64),
        size_N=np.zeros(rows, np.int64),
    )
