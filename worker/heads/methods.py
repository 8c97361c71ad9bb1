"""Names of methods → their parameters and what trains by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from worker.heads.centroid import CentroidParams, train_centroid
from worker.heads.knn import KnnParams, train_knn
from worker.heads.lab import LabParams, train_lab
from worker.heads.linear import LinearParams, train_linear
from worker.heads.method import Run, Trained
from worker.heads.mlp import MlpParams, train_mlp
from worker.heads.ridge import RidgeParams, train_ridge
from worker.heads.rows import Rows


class Method(NamedTuple):
    params: type[Any]
    train: Callable[[Rows, Any, Run], Trained]

    def of(self, params: Mapping[str, Any]) -> Any:
        """The parameters from plain values; lists of JSON become tuples."""
        return self.params(
            **{name: tuple(v) if isinstance(v, list) else v for name, v in params.items()}
        )


METHODS: Final[Mapping[str, Method]] = MappingProxyType(
    {
        "lab": Method(LabParams, train_lab),
        "linear": Method(LinearParams, train_linear),
        "ridge": Method(RidgeParams, train_ridge),
        "knn": Method(KnnParams, train_knn),
        "mlp": Method(MlpParams, train_mlp),
        "centroid": Method(CentroidParams, train_centroid),
    }
)
