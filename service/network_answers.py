"""Networks and their checkpoints as they go out over HTTP."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from cache.networks import NetworkInfo
from cache.rows import WeightsRow
from service.answers import utc


class WeightsAnswer(BaseModel):
    name: str
    file: str
    hash_prefix: str
    url: str
    acc1: float | None


class NetworkAnswer(BaseModel):
    """A network that can be extracted. ``flops`` counts a multiply-add as two."""

    name: str
    input_size: tuple[int, int]
    parameters: int
    flops: int
    default_tap: dict[str, str]
    feature_shape: list[int]
    weights: list[WeightsAnswer]
    layers: dict[str, list[int]] | None = Field(None, description="layer → shape of one row")

    @classmethod
    def of(cls, info: NetworkInfo, *, layers: bool = False) -> NetworkAnswer:
        return cls(
            name=info.name,
            input_size=info.input_size,
            parameters=info.parameters,
            flops=info.flops,
            default_tap={"layer": info.default_tap.layer, "pool": info.default_tap.pool},
            feature_shape=list(info.default_shape),
            weights=[WeightsAnswer.model_validate(w, from_attributes=True) for w in info.weights],
            layers={k: list(v) for k, v in info.layers.items()} if layers else None,
        )


class CheckpointAnswer(BaseModel):
    """An uploaded checkpoint. Submit with ``weights`` set to its ``weights``."""

    weights: str
    network: str
    name: str
    bytes: int
    unavailable_layers: dict[str, str] = Field(
        description="layers it cannot compute → the first parameter it lacks for that"
    )
    team: str | None = Field(description="who uploaded it; every team may use it")
    created: datetime | None

    @classmethod
    def of(cls, row: WeightsRow) -> CheckpointAnswer:
        return cls(
            weights=f"sha256:{row.sha256}",
            network=row.network,
            name=row.name,
            bytes=row.bytes,
            unavailable_layers=row.unavailable,
            team=row.team,
            created=utc(row.created),
        )
