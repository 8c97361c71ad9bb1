"""What comes in over HTTP. Unknown fields are mistakes, not ignored."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from cache.recipe import ChannelOrder, Compute, Interpolation, Pool, Resample, Resize, Stored
from service.negotiation import told
from service.request import Request
from service.selection import Selection

Name = Annotated[str, StringConstraints(pattern=r"^\w[\w.-]{0,99}$")]


Private = Annotated[
    bool, Field(description="seen by one's own team alone, with all that is made of it")
]


class TapRequest(Request):
    """A layer of the network and how its output is pooled.

    Without ``layer`` it is the bottleneck: the input of the last classifier.
    """

    layer: str | None = None
    pool: Pool | None = None


class TransformRequest(Request):
    """A preset, and values that replace the preset's."""

    preset: Literal["official", "stretch"] = "official"
    resize: Resize | None = None
    size: Annotated[list[int], Field(fail_fast=True)] | int | None = Field(
        None, description="one side, or [height, width]"
    )
    crop: list[int] | None = Field(None, min_length=2, max_length=2)
    interpolation: Interpolation | None = None
    antialias: bool | None = None
    resample: Resample | None = None
    mean: list[float] | None = Field(None, min_length=3, max_length=3)
    std: list[float] | None = Field(None, min_length=3, max_length=3)
    channels: ChannelOrder | None = None


class NumericsRequest(Request):
    compute: Compute = "float32"
    stored: Stored = "float32"


class ViewRequest(Request):
    """A subset of a dataset, the same one every time."""

    per_class: int | None = Field(None, description="images of each class of train to keep")
    limit: int | None = Field(None, description="rows of every split to keep, stratified")
    validation: float | None = Field(
        None, description="fraction of train to move into a split validation, stratified"
    )
    seed: int = Field(0, description="of the choice")


def _short_tap(value: Any) -> Any:
    """``"features"`` and ``"features:avg"`` are short for an object."""
    if not isinstance(value, str):
        return value
    layer, _, pool = value.partition(":")
    return {"layer": layer} | ({"pool": pool} if pool else {})


def _short_transform(value: Any) -> Any:
    return {"preset": value} if isinstance(value, str) else value


TapField = Annotated[TapRequest, BeforeValidator(_short_tap)]
TransformField = Annotated[TransformRequest, BeforeValidator(_short_transform)]


class JobRequest(Request):
    """Ask for a pack: recipe × dataset version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"network": "mobilenet_v2", "dataset": "digits", "transform": "stretch"},
                {
                    "network": "vgg16",
                    "dataset": "cifar10",
                    "tap": {"layer": "features", "pool": "avg"},
                    "transform": {"preset": "stretch"},
                    "view": {"per_class": 100, "seed": 0},
                },
            ]
        },
    )

    network: str
    dataset: str = Field(description="a name, or name@version")
    weights: str = Field(
        "default",
        description="torchvision's name such as IMAGENET1K_V1, sha256:<digits> of an uploaded "
        "checkpoint, the name of a file in the weights directory, or random:<seed>",
    )
    tap: TapField | None = None
    taps: list[TapField] | None = Field(
        None, min_length=1, max_length=32, description="several taps of one forward pass"
    )
    transform: TransformField = TransformRequest()
    numerics: NumericsRequest = NumericsRequest()
    view: ViewRequest = ViewRequest()
    on_error: Literal["mask", "fail"] = "mask"
    priority: int = Field(0, ge=-100, le=100)
    submitter: str | None = Field(
        None,
        min_length=1,
        max_length=100,
        description="who asks; a name counts once per job, each request without one for itself",
    )
    private: Private = False


class BuiltinSource(Request):
    kind: Literal["builtin"]
    name: Literal["digits"]


class TorchvisionSource(Request):
    kind: Literal["torchvision"]
    name: str = Field(description="such as cifar10, gtsrb, flowers102")


class FolderSource(Request):
    kind: Literal["folder"]
    path: str = Field(description="relative to the operator's data root")


class DatasetRequest(Request):
    """Register images that the service can reach by itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "digits", "source": {"kind": "builtin", "name": "digits"}},
                {"name": "cifar10", "source": {"kind": "torchvision", "name": "cifar10"}},
                {"name": "birds", "source": {"kind": "folder", "path": "birds/2026"}},
            ]
        },
    )

    name: Name
    source: Annotated[BuiltinSource | TorchvisionSource | FolderSource, Field(discriminator="kind")]
    private: Private = False


def _listed_labels(value: Any) -> Any:
    """One label is short for a list of it, and a number for its digits."""
    labels = value if isinstance(value, list) else [value]
    return [str(label) if type(label) is int else label for label in labels]


class Filters(BaseModel):
    """Which rows; all of it together."""

    split: str | None = None
    start: int | None = Field(None, description="first row, within the split if one is named")
    stop: int | None = Field(None, description="the row after the last")
    step: int = Field(1, ge=1, description="every so many rows")
    label: Annotated[list[str], Field(fail_fast=True), BeforeValidator(_listed_labels)] = Field(
        [], description="a class's name or number; of several, rows of any of them"
    )
    valid: bool = Field(False, description="true: only rows whose image could be decoded")
    sample: int | None = Field(
        None, ge=0, description="so many of the rows that are left, none twice, in their order"
    )
    seed: int = Field(
        0, ge=0, le=2**63 - 1, description="of the sample; equal seeds draw equal rows"
    )

    def selection(self) -> Selection:
        names = ("split", "start", "stop", "step", "valid", "sample", "seed")
        return Selection(**{name: getattr(self, name) for name in names}, label=tuple(self.label))


class RowsQuery(Filters):
    """Rows by query parameters. Unknown parameters are mistakes."""

    model_config = ConfigDict(extra="forbid")


class FormatQuery(BaseModel):
    """How rows are sent."""

    model_config = ConfigDict(extra="forbid")

    format: str | None = Field(
        None,
        description="raw, npy, arrow, npz or json; else by Accept",
        json_schema_extra=told("raw", "npy", "arrow", "npz", "json"),
    )
    dtype: Literal["float16", "float32"] | None = Field(
        None, description="of the features; else as they are stored"
    )


class FeaturesQuery(FormatQuery, RowsQuery):
    """Which rows, and how they are sent."""


class LabelsQuery(RowsQuery):
    format: str | None = Field(
        None,
        description="raw, npy or json; else by Accept",
        json_schema_extra=told("raw", "npy", "json"),
    )


class RowsRequest(Filters, Request):
    """Rows by a list of numbers or of ids, in the order given, repeats allowed.

    With any of the other fields, the listed rows that pass them; without a list, all rows that do.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"rows": [0, 17, 4]},
                {"row_id": ["train/cat/1.png"], "valid": True},
                {"split": "train", "label": ["cat", "dog"], "sample": 100, "seed": 7},
            ]
        }
    )

    # Of a million wrong entries, a million errors would be made.
    rows: Annotated[list[int], Field(fail_fast=True)] | None = Field(
        None, description="row numbers, at most 100,000"
    )
    row_id: Annotated[list[str], Field(fail_fast=True)] | None = Field(
        None, description="row ids, at most 100,000"
    )

    def selection(self) -> Selection:
        return replace(
            super().selection(),
            row=None if self.rows is None else tuple(self.rows),
            row_id=None if self.row_id is None else tuple(self.row_id),
        )
