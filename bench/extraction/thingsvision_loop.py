"""The same features by thingsvision 2.7, as its README does it; run by an interpreter of its own.

thingsvision needs Python 3.10 and an old torch; ``make bench-thingsvision`` prepares them.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from thingsvision import get_extractor  # type: ignore[import-not-found]
from thingsvision.utils.data import (  # type: ignore[import-not-found]
    DataLoader,
    ImageDataset,
)

from bench.extraction.contending import Turn, keep_file, take_turns
from bench.extraction.naive import BATCH, user_transform, weights_file

BOTTLENECK = {"mobilenet_v2": "classifier.0", "resnet50": "avgpool"}
"""The module whose output is the input of the last classifier."""


def load(spec: dict[str, Any]) -> Turn:
    network, weights = spec["network"], spec["weights"]
    torch.manual_seed(0)
    known = not weights.startswith("random:")
    extractor = get_extractor(
        model_name=network,
        source="torchvision",
        device="cuda" if torch.cuda.is_available() else "cpu",
        pretrained=False,
        model_path=str(weights_file(network, weights, spec["weights_dir"])) if known else None,
    )
    transform = extractor.get_transformations()
    if spec["preset"] != "official":
        transform = user_transform(network, weights, spec["preset"])
    scratch = Path(spec["scratch"])

    def turn() -> dict[str, Any]:
        began = time.perf_counter()
        dataset = ImageDataset(
            root=spec["folder"],
            out_path=str(scratch),
            backend=extractor.get_backend(),
            transforms=transform,
        )
        batches = DataLoader(dataset=dataset, batch_size=BATCH, backend=extractor.get_backend())
        features = extractor.extract_features(
            batches=batches,
            module_name=BOTTLENECK[network],
            flatten_acts=True,
            output_type="ndarray",
        )
        np.save(scratch / "features.npy", features)
        keep_file(scratch / "features.npy")
        return {
            "images": len(features),
            "seconds": time.perf_counter() - began,
            "first_row_seconds": None,
            "facts": {"torch": torch.__version__},
        }

    return turn


if __name__ == "__main__":
    take_turns(load)
