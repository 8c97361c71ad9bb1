"""Rows of the catalogue as frozen values. Times are seconds since 1970.

``space`` says who may see a thing, ``team`` whose it is (:mod:`cache.sight`). Of what a job makes
both are set where it is published, as the job has them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cache.sight import SHARED


@dataclass(frozen=True)
class DatasetRow:
    """One immutable version of a named dataset. ``splits`` maps a name to (start, stop)."""

    name: str
    version: int
    dataset_id: str
    source: dict[str, Any]
    classes: list[str]
    splits: dict[str, list[int]]
    rows: int
    bytes: int
    created: float = 0.0
    space: str = SHARED
    team: str | None = None


@dataclass(frozen=True)
class PackRow:
    """One published pack. ``splits`` maps a name to (start, stop); ``etag`` is its XXH3-128.

    ``problem`` is the error (``as_dict``) of a pack that was found damaged.
    """

    pack_id: str
    recipe_id: str
    dataset_id: str
    network: str
    dataset: str
    imported: bool
    recipe: dict[str, Any]
    dataset_info: dict[str, Any]
    classes: list[str]
    splits: dict[str, list[int]]
    rows: int
    row_shape: list[int]
    dtype: str
    bytes: int
    etag: str
    invalid_rows: list[str]
    provenance: dict[str, Any]
    created: float = 0.0
    last_used: float = 0.0
    hits: int = 0
    pinned: bool = False
    problem: dict[str, Any] | None = None
    space: str = SHARED
    team: str | None = None

    @property
    def tap(self) -> str | None:
        """``layer:pool``; None for an imported pack, of whose recipe nothing is known."""
        tap = self.recipe.get("tap")
        return f"{tap['layer']}:{tap['pool']}" if tap else None


@dataclass(frozen=True)
class HeadRow:
    """One trained head.

    ``recipe`` is its pack's, so that it can be used after the pack was evicted; heads of before it
    was kept have none.
    """

    head_id: str
    pack_id: str
    method: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    recipe: dict[str, Any] | None = None
    created: float = 0.0
    space: str = SHARED
    team: str | None = None


@dataclass(frozen=True)
class StudyRow:
    """What is to be compared; ``kind`` is study or advice, ``cells`` are plain values.

    A cell names a head by what it is asked for by (:mod:`cache.head_ids`), and says of what it is
    in words for people. States are not kept here: they follow from heads and jobs.
    """

    study_id: str
    kind: str
    cells: list[dict[str, Any]]
    submitters: dict[str, int]
    created: float = 0.0
    space: str = SHARED
    team: str | None = None


@dataclass(frozen=True)
class WeightsRow:
    """An uploaded checkpoint, checked against a network; every team may use it.

    ``unavailable`` maps each layer that cannot be computed to the first parameter it lacks.
    """

    sha256: str
    network: str
    name: str
    bytes: int
    unavailable: dict[str, str]
    created: float = 0.0
    team: str | None = None


@dataclass(frozen=True)
class WorkerRow:
    """A worker that was heard of; ``seen`` is its last heartbeat.

    ``byte_limit`` is how many bytes of packs it leaves in the store, if there is a limit. ``lanes``
    maps each to ``{"kinds", "worked"}``, ``memory`` is a list of ``{"device", "used", "total"}``
    (:mod:`cache.signs`).
    """

    worker: str
    device: str
    machine: str
    started: float
    seen: float
    byte_limit: int | None = None
    lanes: dict[str, Any] = field(default_factory=dict)
    memory: list[dict[str, Any]] = field(default_factory=list)
