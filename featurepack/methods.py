"""By which method a head is trained, and with what. None is the service's default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True)
class Lab:
    """The labs' softmax layer: Adam, 50 epochs, batches of 256, rate 0.001."""

    method: ClassVar[str] = "lab"
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Linear:
    """Softmax regression on standardised features. ``l2``: scikit-learn's 1/C, several a sweep."""

    method: ClassVar[str] = "linear"
    l2: float | Sequence[float] | None = None
    tolerance: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Ridge:
    """Least squares on standardised features. ``l2``: scikit-learn's alpha, several a sweep."""

    method: ClassVar[str] = "ridge"
    l2: float | Sequence[float] | None = None


@dataclass(frozen=True)
class Knn:
    """Votes of the ``k`` nearest rows by cosine; several are a sweep."""

    method: ClassVar[str] = "knn"
    k: int | Sequence[int] | None = None


@dataclass(frozen=True)
class Mlp:
    """Hidden layers with ReLU and dropout: 1,024 and 1,024, 30 epochs, dropout 0.5."""

    method: ClassVar[str] = "mlp"
    hidden: Sequence[int] | None = None
    dropout: float | None = None
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    seed: int | None = None


@dataclass(frozen=True)
class Centroid:
    """The nearest class mean of standardised features."""

    method: ClassVar[str] = "centroid"


Params = Lab | Linear | Ridge | Knn | Mlp | Centroid

METHODS: dict[str, type[Params]] = {
    kind.method: kind for kind in (Lab, Linear, Ridge, Knn, Mlp, Centroid)
}


def given(params: Params) -> dict[str, Any]:
    """What is not left to the service, as plain values."""
    values = {field.name: getattr(params, field.name) for field in fields(params)}
    return {
        name: list(value) if isinstance(value, Sequence) else value
        for name, value in values.items()
        if value is not None
    }
