"""What a job is about, by the names that people gave: its network and its dataset."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from cache.rows import PackRow

Spec = dict[str, Any]


class About(BaseModel):
    """Null where a job has none."""

    network: str | None = None
    dataset: str | None = None

    @classmethod
    def of(cls, kind: str, spec: Spec) -> About:
        network = spec.get("recipe", {}).get("network")
        if kind == "ingest":
            return cls(dataset=spec.get("name"))
        if kind == "extract":
            return cls(network=network, dataset=spec.get("dataset", {}).get("name"))
        if kind == "classify":
            return cls(network=network)
        if kind in ("import", "weights"):
            return cls(network=spec.get("network"), dataset=spec.get("dataset"))
        return cls.model_validate(spec.get("about", {}))


def about_pack(row: PackRow) -> Spec:
    """For the spec of a job about a pack: the pack may be gone when somebody looks at the job."""
    return {"about": {"network": row.network, "dataset": row.dataset}}
