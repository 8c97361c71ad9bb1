"""The loop that a user writes: ImageFolder, DataLoader, the network, ``np.save``.

Runs on Python 3.10 too. Shapes: N images, C, H, W, D features.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from bench.extraction.contending import Turn, keep_file, take_turns

BATCH = 32


def weights_file(network: str, weights: str, weights_dir: str | None) -> Path:
    """Where torchvision's file with these weights is; downloaded if it is nowhere."""
    published = torchvision.models.get_model_weights(network)[weights]
    name = Path(published.url).name
    if weights_dir and (Path(weights_dir) / name).is_file():
        return Path(weights_dir) / name
    published.get_state_dict(progress=False)
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def load_network(network: str, weights: str, weights_dir: str | None) -> nn.Module:
    """A network without its last classifier: ``[N, 3, H, W]`` → average pooled ``[N, D]``.

    ``weights`` is torchvision's name, or ``random:<seed>``.
    """
    if weights.startswith("random:"):
        torch.manual_seed(int(weights.partition(":")[2]))
        model: nn.Module = torchvision.models.get_model(network, weights=None)
    else:
        model = torchvision.models.get_model(network, weights=None)
        file = weights_file(network, weights, weights_dir)
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    setattr(model, "fc" if hasattr(model, "fc") else "classifier", nn.Identity())
    return model.eval()


def user_transform(network: str, weights: str, preset: str) -> Any:
    """The weights' own transform, or the labs': straight to the input size."""
    published = torchvision.models.get_model_weights(network)
    name = "IMAGENET1K_V1" if weights.startswith("random:") else weights
    official = published[name].transforms()
    if preset == "official":
        return official
    side = official.crop_size[0]
    return transforms.Compose(
        [
            transforms.ToTensor(),
            transforms.Resize((side, side), antialias=True),
            transforms.Normalize(official.mean, official.std),
        ]
    )


def extract(
    network: nn.Module, transform: Any, folder: str, workers: int, output: Path
) -> dict[str, Any]:
    """One pass over a folder; ``output`` holds its features ``[N, D]`` afterwards."""
    began = time.perf_counter()
    device = next(network.parameters()).device
    loader = DataLoader(ImageFolder(folder, transform), batch_size=BATCH, num_workers=workers)
    features, first_row = [], 0.0
    with torch.no_grad():
        for images_NCHW, _ in loader:
            features.append(network(images_NCHW.to(device)).cpu().numpy())
            first_row = first_row or time.perf_counter() - began
    features_ND = np.concatenate(features)
    np.save(output, features_ND)
    keep_file(output)
    return {
        "images": len(features_ND),
        "seconds": time.perf_counter() - began,
        "first_row_seconds": first_row,
    }


def load(spec: dict[str, Any]) -> Turn:
    """The network on its device, having seen one batch of zeros."""
    if spec["keep_freed_memory"]:
        from worker.allocator import keep_freed_memory

        assert keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = load_network(spec["network"], spec["weights"], spec["weights_dir"]).to(device)
    transform = user_transform(spec["network"], spec["weights"], spec["preset"])
    with torch.no_grad():
        network(torch.zeros(BATCH, 3, 224, 224, device=device))
    output = Path(spec["scratch"]) / "features.npy"
    return lambda: extract(network, transform, spec["folder"], spec["workers"], output)


if __name__ == "__main__":
    take_turns(load)
