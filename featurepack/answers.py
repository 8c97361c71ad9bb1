"""What the service answers, as frozen values.

Fields are the JSON answer's own; times become ``datetime``. Fields that a newer service adds are
left out, and fields that an older one lacks have a default, so that the two need not be of one age.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from featurepack.errors import FeaturepackError

_TIMES = (
    "created",
    "started",
    "finished",
    "last_used",
    "next_try",
    "began",
    "ended",
    "expires",
    "revoked",
)


@dataclass(frozen=True)
class Answer:
    """Base of the answers that are one JSON object."""

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        """Raises FeaturepackError if the object lacks a field."""
        needed = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
        if missing := [name for name in needed if name not in data]:
            raise FeaturepackError(
                f"the service's {cls.__name__.lower()} has no {missing[0]!r}",
                value=missing,
                remedy="use a client and a service of the same version",
            )
        known = {f.name: data[f.name] for f in fields(cls) if f.name in data}
        for name in _TIMES:
            if isinstance(known.get(name), str):
                known[name] = datetime.fromisoformat(known[name])
        return cls(**known)


@dataclass(frozen=True)
class Weights(Answer):
    """Weights that torchvision publishes; ``acc1`` is their ImageNet top-1 accuracy in percent."""

    name: str
    file: str
    hash_prefix: str
    url: str
    acc1: float | None


@dataclass(frozen=True)
class Network(Answer):
    """A network that can be extracted. ``layers`` (layer → shape of one row) may be left out."""

    name: str
    input_size: list[int]
    parameters: int
    flops: int
    default_tap: dict[str, str]
    feature_shape: list[int]
    weights: list[Weights]
    layers: dict[str, list[int]] | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        return super().of({**data, "weights": [Weights.of(one) for one in data["weights"]]})


@dataclass(frozen=True)
class Dataset(Answer):
    """One version of a dataset. ``splits`` maps a name to its number of rows.

    A ``private`` one is seen by its ``team`` alone.
    """

    name: str
    version: int
    dataset_id: str
    source: dict[str, Any]
    classes: list[str]
    splits: dict[str, int]
    rows: int
    bytes: int
    created: datetime | None
    versions: list[int] | None = None
    team: str | None = None
    private: bool = False


@dataclass(frozen=True)
class Checkpoint(Answer):
    """An uploaded checkpoint; submit with ``weights`` set to its ``weights``."""

    weights: str
    network: str
    name: str
    bytes: int
    unavailable_layers: dict[str, str]
    created: datetime | None
    team: str | None = None


@dataclass(frozen=True)
class Pack(Answer):
    """A cached pack. ``splits`` maps a name to its first row and the row after its last.

    ``invalid_rows`` are the ids of images that could not be decoded; their features are zero. A
    ``pinned`` pack is never evicted. One with a ``problem`` is damaged: its rows are not served,
    and submitting its pair again builds it anew. ``best_head`` (head_id, method, accuracy) is told
    by :meth:`Client.packs` alone.
    """

    pack_id: str
    network: str
    dataset: str
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
    pinned: bool = False
    problem: dict[str, Any] | None = None
    tap: str | None = None
    best_head: dict[str, Any] | None = None
    team: str | None = None
    private: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of all features: [N, D] or [N, C, H, W]."""
        return (self.rows, *self.row_shape)


@dataclass(frozen=True)
class Attempt(Answer):
    """One worker's try at a job.

    ``outcome`` is running, lost (the worker was not heard of), handed back (it was asked to stop),
    retrying (``error`` is a passing fault), failed, cancelled or succeeded.
    """

    attempt: int
    worker: str
    began: datetime
    ended: datetime | None
    outcome: str
    error: dict[str, Any] | None


@dataclass(frozen=True)
class Job(Answer):
    """Work that was asked for; ``error`` is there when it failed, ``result`` when it succeeded.

    ``submitters`` are those who still want it. ``next_try`` is when a queued job that met a
    passing fault goes on; the last of ``attempts`` has the fault. ``waits_for`` is the key of the
    job that must succeed before this one begins.
    """

    id: str
    kind: str
    state: str
    pack_id: str | None
    priority: int
    attempt: int
    worker: str | None
    cancelling: bool
    progress: dict[str, Any]
    result: dict[str, Any] | None
    error: dict[str, Any] | None
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    team: str | None = None
    private: bool = False
    submitters: list[str] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    next_try: datetime | None = None
    waits_for: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Self:
        attempts = [Attempt.of(one) for one in data.get("attempts", ())]
        return super().of({**data, "attempts": attempts})

    @property
    def is_final(self) -> bool:
        return self.state in ("succeeded", "failed", "cancelled")

    @property
    def goes_on_for_others(self) -> bool:
        """After :meth:`Client.cancel`: whether others still want the job."""
        return bool(self.submitters) and not (self.is_final or self.cancelling)


@dataclass(frozen=True)
class Estimate(Answer):
    """What a submission would cost.

    ``rows_cached`` are known from other packs, or repeated in the dataset. ``seconds`` follows
    from the rate that was measured on the machine ``measured_on``; before that it is None.
    """

    pack_id: str
    cached: bool
    rows: int
    rows_cached: int
    rows_to_compute: int
    row_shape: list[int] | None
    bytes: int | None
    seconds: float | None
    images_per_second: float | None = None
    measured_on: str | None = None


@dataclass(frozen=True)
class Head(Answer):
    """A trained head. ``metrics`` has losses, accuracies, row counts, seconds and ``curves``."""

    head_id: str
    pack_id: str
    method: str
    params: dict[str, Any]
    metrics: dict[str, Any]
    created: datetime | None
    team: str | None = None
    private: bool = False


@dataclass(frozen=True)
class Key(Answer):
    """A team's key, without its secret."""

    key_id: str
    team: str
    scope: str
    note: str
    created: datetime | None
    expires: datetime | None
    revoked: datetime | None
    last_used: datetime | None


@dataclass(frozen=True)
class NewKey(Key):
    """A key that was made just now; ``key`` is its secret, which nobody is shown again."""

    key: str = field(default="", repr=False)


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of one image, best first, each with its probability.

    ``index`` has their numbers. Of a pack's row there are also its number and its label, and
    ``name`` is its id.
    """

    name: str
    classes: list[tuple[str, float]]
    index: list[int] = field(default_factory=list)
    row: int | None = None
    label: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Prediction:
        found = data["classes"]
        return cls(
            name=data["name"],
            classes=[(one["class"], one["probability"]) for one in found],
            index=[one["index"] for one in found if "index" in one],
            row=data.get("row"),
            label=data.get("label"),
        )


@dataclass(frozen=True, eq=False)
class Index:
    """What N rows of a pack are.

    ``row_N`` (int64) their numbers in the pack, ``row_id_N`` path or position of the image,
    ``label_N`` (int64, -1 is unlabelled), ``row_hash_N`` hash of the image's content as hex,
    ``valid_N`` (bool) whether it could be decoded.
    """

    classes: list[str]
    splits: dict[str, list[int]]
    row_N: npt.NDArray[np.int64]
    row_id_N: list[str]
    label_N: npt.NDArray[np.int64]
    row_hash_N: list[str]
    valid_N: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Index:
        rows = data["rows"]
        return cls(
            classes=data["classes"],
            splits=data["splits"],
            row_N=np.array([row["row"] for row in rows], np.int64),
            row_id_N=[row["row_id"] for row in rows],
            label_N=np.array([row["label"] for row in rows], np.int64),
            row_hash_N=[row["row_hash"] for row in rows],
            valid_N=np.array([row["valid"] for row in rows], np.bool_),
        )

    def take(self, chosen: slice | npt.NDArray[np.int64]) -> Index:
        """Some of the rows, by their place in this index, in the order given."""
        places = np.arange(len(self.row_N))[chosen].tolist()
        return Index(
            classes=self.classes,
            splits=self.splits,
            row_N=self.row_N[chosen],
            row_id_N=[self.row_id_N[place] for place in places],
            label_N=self.label_N[chosen],
            row_hash_N=[self.row_hash_N[place] for place in places],
            valid_N=self.valid_N[chosen],
        )


def pack_or_job(data: Mapping[str, Any]) -> Pack | Job:
    """A submission's answer by its ``object``."""
    return Pack.of(data) if data.get("object") == "pack" else Job.of(data)
