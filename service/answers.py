"""What goes out over HTTP: rows of the catalogue and the queue as JSON models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from cache.jobs import Job
from cache.networks import NetworkInfo
from cache.pages import Page
from cache.rows import DatasetRow, HeadRow, PackRow, StudyRow, WeightsRow
from cache.sight import SHARED


def utc(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def is_private(thing: DatasetRow | PackRow | HeadRow | StudyRow | Job) -> bool:
    """Whether only its team sees it."""
    return thing.space != SHARED


Item = TypeVar("Item")


class Listing(BaseModel, Generic[Item]):
    """A page of a list; pass ``next_cursor`` as ``cursor`` for the next one."""

    items: list[Item]
    next_cursor: str | None = None


def listing(page: Page[Any], make: Callable[[Any], Item]) -> Listing[Item]:
    return Listing(items=[make(item) for item in page.items], next_cursor=page.next_cursor)


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


class DatasetAnswer(BaseModel):
    """One version of a dataset. ``splits`` maps a name to its number of rows."""

    name: str
    version: int
    dataset_id: str
    source: dict[str, Any]
    classes: list[str]
    splits: dict[str, int]
    rows: int
    bytes: int
    team: str | None = Field(description="whose it is; null: an admin's")
    private: bool = Field(description="others do not see it")
    created: datetime | None
    versions: list[int] | None = None

    @classmethod
    def of(cls, row: DatasetRow, versions: list[int] | None = None) -> DatasetAnswer:
        return cls(
            name=row.name,
            version=row.version,
            dataset_id=row.dataset_id,
            source=row.source,
            classes=row.classes,
            splits={name: stop - start for name, (start, stop) in row.splits.items()},
            rows=row.rows,
            bytes=row.bytes,
            team=row.team,
            private=is_private(row),
            created=utc(row.created),
            versions=versions,
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


Health = Literal["sound", "damaged"]


class PackAnswer(BaseModel):
    """A cached pack. ``splits`` maps a name to its first row and the row after its last.

    A pinned pack is never evicted. One with a ``problem`` is damaged: its rows are not served, and
    the next submission of its pair builds it anew.
    """

    object: Literal["pack"] = "pack"
    pack_id: str
    network: str
    dataset: str
    tap: str | None = Field(description="layer:pool; null where the recipe is unknown")
    recipe_id: str
    dataset_id: str
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
    created: datetime | None
    last_used: datetime | None
    hits: int
    pinned: bool
    health: Health
    problem: dict[str, Any] | None
    team: str | None = Field(description="whose it is; null: an admin's")
    private: bool = Field(description="others do not see it")

    @classmethod
    def of(cls, row: PackRow) -> PackAnswer:
        return cls(**pack_fields(row))


def pack_fields(row: PackRow) -> dict[str, Any]:
    """The fields of a :class:`PackAnswer`."""
    return vars(row) | {
        "created": utc(row.created),
        "last_used": utc(row.last_used),
        "tap": row.tap,
        "health": "sound" if row.problem is None else "damaged",
        "private": is_private(row),
    }


class AttemptAnswer(BaseModel):
    """What became of one attempt at a job."""

    attempt: int
    worker: str
    began: datetime | None
    ended: datetime | None
    outcome: Literal[
        "running", "succeeded", "failed", "cancelled", "retrying", "handed back", "lost"
    ]
    error: dict[str, Any] | None

    @classmethod
    def of(cls, attempt: dict[str, Any]) -> AttemptAnswer:
        times = {name: utc(attempt[name]) for name in ("began", "ended")}
        return cls(**(attempt | times))


class JobAnswer(BaseModel):
    """A job. ``error`` is there when it failed, ``result`` when it succeeded.

    ``progress.history`` of an extraction has ``[seconds, images per second since the last]``
    of at most 60 moments of its attempt.
    """

    object: Literal["job"] = "job"
    id: str
    kind: str
    state: Literal["queued", "running", "succeeded", "failed", "cancelled"]
    pack_id: str | None
    team: str | None = Field(description="whose is what it makes")
    private: bool = Field(description="others do not see it")
    priority: int
    submitters: list[str] = Field(description="who wants it; it is cancelled when none is left")
    attempt: int
    attempts: list[AttemptAnswer]
    next_try: datetime | None = Field(description="when it goes on after a passing fault")
    worker: str | None
    cancelling: bool
    waits_for: str | None = Field(description="the key of the job that must succeed before")
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: datetime | None
    started: datetime | None
    finished: datetime | None

    @classmethod
    def of(cls, job: Job) -> JobAnswer:
        names = ("id", "kind", "state", "priority", "attempt", "worker", "cancelling", "waits_for")
        return cls(
            team=job.team,
            private=is_private(job),
            pack_id=job.spec.get("pack_id"),
            submitters=list(job.submitters),
            attempts=[AttemptAnswer.of(attempt) for attempt in job.attempts],
            next_try=utc(job.next_try),
            progress=job.progress,
            result=job.result,
            error=job.error,
            created=utc(job.created),
            started=utc(job.started),
            finished=utc(job.finished),
            **{name: getattr(job, name) for name in names},
        )


class Submissions(BaseModel):
    """The answer to several taps at once: a pack or a job for each, in order."""

    items: list[PackAnswer | JobAnswer]


class EstimateAnswer(BaseModel):
    """What a submission would cost.

    ``rows_cached`` need not be computed: other packs have them, or they repeat others of the
    dataset. ``seconds`` follow from the rate that was measured last, on a machine with a live
    worker if there is one; null before this network was measured.
    """

    pack_id: str
    cached: bool
    rows: int
    rows_cached: int
    rows_to_compute: int
    row_shape: list[int] | None
    bytes: int | None
    seconds: float | None
    images_per_second: float | None
    measured_on: str | None


class HeadAnswer(BaseModel):
    """A trained head with its scores. Lists leave out the ``DETAILS`` of the metrics."""

    DETAILS: ClassVar = (
        "curves",
        "sweep",
        "evaluation",
        "trust",
        "label_noise",
        "validation_right",
    )

    object: Literal["head"] = "head"
    head_id: str
    pack_id: str
    method: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    team: str | None
    private: bool = Field(description="others do not see it, as its pack")
    created: datetime | None

    @classmethod
    def of(cls, row: HeadRow) -> HeadAnswer:
        told = {"created": utc(row.created), "private": is_private(row)}
        return cls(**(vars(row) | told))

    @classmethod
    def brief(cls, row: HeadRow) -> HeadAnswer:
        metrics = {name: row.metrics[name] for name in row.metrics if name not in cls.DETAILS}
        return cls.of(replace(row, metrics=metrics))
