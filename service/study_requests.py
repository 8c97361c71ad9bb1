"""How studies and advice are asked for."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from service.head_requests import LinearMethod, MethodRequest
from service.request import Request
from service.schemas import (
    JobRequest,
    NumericsRequest,
    Private,
    TapField,
    TransformField,
    TransformRequest,
    ViewRequest,
)

Submitter = Annotated[
    str | None,
    Field(
        min_length=1,
        max_length=100,
        description="who asks; a name counts once per study, each request without one for itself",
    ),
]


class NetworkEntry(Request):
    """A network, and how rows are made with it; the fields are those of ``POST /v1/jobs``."""

    network: str
    weights: str = "default"
    tap: TapField | None = None
    taps: list[TapField] | None = Field(
        None, min_length=1, max_length=32, description="compared; one forward pass makes all"
    )
    transform: TransformField = TransformRequest()
    numerics: NumericsRequest = NumericsRequest()

    def on(self, dataset: DatasetEntry, study: StudyRequest) -> JobRequest:
        """The request for the packs of this network on a dataset, as a study asks for them."""
        given = {name: getattr(self, name) for name in NetworkEntry.model_fields}
        given |= {name: getattr(study, name) for name in ("priority", "private")}
        return JobRequest(**given, dataset=dataset.dataset, view=dataset.view, submitter=None)


class DatasetEntry(Request):
    dataset: str = Field(description="a name, or name@version")
    view: ViewRequest = ViewRequest()


def _short_network(value: Any) -> Any:
    return {"network": value} if isinstance(value, str) else value


def _short_dataset(value: Any) -> Any:
    return {"dataset": value} if isinstance(value, str) else value


DatasetField = Annotated[DatasetEntry, BeforeValidator(_short_dataset)]


class _Compared(Request):
    train: str = Field("train", description="the split to train on, of every dataset")
    validation: str = Field("validation", description="the split to score on")
    priority: int = Field(0, ge=-100, le=100)
    submitter: Submitter = None
    private: Private = False


class StudyRequest(_Compared):
    """Compare every network on every dataset by every method."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "networks": [
                        "mobilenet_v2",
                        {"network": "vgg16", "taps": ["features:avg", "classifier.4"]},
                    ],
                    "datasets": ["cifar10", {"dataset": "digits", "view": {"validation": 0.2}}],
                    "methods": ["linear", {"method": "knn", "params": {"k": 5}}],
                }
            ]
        }
    )

    networks: list[Annotated[NetworkEntry, BeforeValidator(_short_network)]] = Field(
        min_length=1, max_length=100
    )
    datasets: list[DatasetField] = Field(min_length=1, max_length=100)
    methods: list[MethodRequest] = Field(
        [LinearMethod(method="linear")], min_length=1, max_length=20
    )


class AdviceRequest(_Compared):
    """What to do with one dataset and one network."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"network": "mobilenet_v2", "dataset": "cifar10", "transform": "stretch"}]
        }
    )

    network: str
    dataset: str = Field(description="a name, or name@version")
    weights: str = "default"
    transform: TransformField = TransformRequest()
    numerics: NumericsRequest = NumericsRequest()
    view: ViewRequest = ViewRequest()
