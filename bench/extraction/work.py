"""What is extracted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

Preset = Literal["official", "stretch"]


@dataclass(frozen=True)
class Work:
    """A network over the images of a folder (``class/file``).

    ``weights`` is torchvision's name or ``random:<seed>``, ``weights_dir`` a folder with its file.
    ``changes`` are values that replace the preset's.
    """

    name: str
    network: str
    weights: str
    weights_dir: str | None
    preset: Preset
    folder: Path
    images: int
    compute: Literal["float32", "fast"] = "float32"
    changes: Mapping[str, Any] | None = None

    @property
    def transform(self) -> dict[str, Any]:
        """As the service takes it."""
        return {"preset": self.preset, **(self.changes or {})}

    @property
    def warm_folder(self) -> Path:
        """A few other images of the same kind."""
        return self.folder.with_name(f"{self.folder.name}-warm")

    @property
    def fast(self) -> Work:
        return replace(self, compute="fast")

    def told(self) -> dict[str, Any]:
        """For the results."""
        return {
            "name": self.name,
            "network": self.network,
            "weights": self.weights,
            "preset": self.preset,
            "images": self.images,
        }

    def spec(self, **more: Any) -> dict[str, Any]:
        """For programs."""
        places = {"weights_dir": self.weights_dir, "folder": str(self.folder)}
        return self.told() | places | {"compute": self.compute} | more
