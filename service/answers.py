"""Datasets, packs and heads as they go out over HTTP, and what all answers share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from cache.job import Job
from cache.pages import Page
from cache.rows import DatasetRow, HeadRow, PackRow, StudyRow
from cache.sight import SHARED
from service.told import Documented, Metrics


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


Health = Literal["sound", "damaged"]


class PackBrief(BaseModel):
    """A cached pack in a list. ``splits`` maps a name to its first row and the row after its last.

    A pinned pack is never evicted. One with a ``problem`` is damaged: its rows are not served, and
    the next submission of its pair builds it anew.
    """

    object: Literal["pack"] = "pack"
    pack_id: str
    network: str
    dataset: str
    tap: str | None = Field(description="layer:pool; null where the recipe is unknown")
    view: dict[str, Any] | None = Field(description="which part of the dataset; null for all")
    recipe_id: str
    dataset_id: str
    imported: bool
    splits: dict[str, list[int]]
    rows: int
    rows_invalid: int = Field(description="of images that could not be decoded")
    row_shape: list[int]
    dtype: str
    bytes: int
    etag: str
    created: datetime | None
    last_used: datetime | None
    hits: int
    pinned: bool
    health: Health
    problem: dict[str, Any] | None
    team: str | None = Field(description="whose it is; null: an admin's")
    private: bool = Field(description="others do not see it")


class PackAnswer(PackBrief):
    """A pack, with all that lists leave out. ``invalid_rows`` are row ids."""

    recipe: dict[str, Any]
    dataset_info: dict[str, Any]
    classes: list[str]
    invalid_rows: list[str]
    provenance: dict[str, Any]

    @classmethod
    def of(cls, row: PackRow) -> PackAnswer:
        return cls(**pack_fields(row))


def pack_fields(row: PackRow) -> dict[str, Any]:
    """The fields of a :class:`PackAnswer`, those of a :class:`PackBrief` among them."""
    return vars(row) | {
        "created": utc(row.created),
        "last_used": utc(row.last_used),
        "tap": row.tap,
        "view": row.dataset_info.get("view"),
        "rows_invalid": len(row.invalid_rows),
        "health": "sound" if row.problem is None else "damaged",
        "private": is_private(row),
    }


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
    metrics: Annotated[dict[str, Any], Documented(Metrics)]
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
