"""How a head is asked for: one model for each method, with its parameters.

The defaults are those of ``worker/heads``, null stands for a sweep's; a test compares them.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag

from service.request import Request


def _several(value: Any) -> Any:
    """One value is short for a list of it, and none stands twice in it."""
    if value is None:
        return value
    try:
        return list(dict.fromkeys(value if isinstance(value, list) else [value]))
    except TypeError:  # a value that is no number, of which the type says more
        return value


Strengths = Annotated[
    Annotated[list[Annotated[float, Field(gt=0, le=1e12)]], Field(min_length=1, max_length=100)]
    | None,
    BeforeValidator(_several),
]
Counts = Annotated[
    Annotated[list[Annotated[int, Field(ge=1, le=10_000)]], Field(min_length=1, max_length=100)]
    | None,
    BeforeValidator(_several),
]


class LabParams(Request):
    """Adam on one softmax layer, as the labs did."""

    epochs: int = Field(50, ge=1, le=10_000)
    batch: int = Field(256, ge=1, le=1_000_000)
    rate: float = Field(1e-3, gt=0, le=10)
    seed: int = Field(0, ge=0, le=2**63 - 1)


class LinearParams(Request):
    """Softmax regression with L2 on standardised features."""

    l2: Strengths = Field(
        None, description="scikit-learn's 1/C; several are a sweep, null is one of 20, 3.2 to 1e4"
    )
    tolerance: float = Field(1e-4, ge=1e-7, le=1, description="of the sweep, scikit-learn's tol")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="of the halves of train that are compared")


class RidgeParams(Request):
    """Least squares with L2 on standardised features."""

    l2: Strengths = Field(
        None, description="Ridge's alpha; several are a sweep, null is one of 20, 10 to 5.6e5"
    )


class KnnParams(Request):
    """Votes of the nearest rows by cosine."""

    k: Counts = Field(
        None, description="neighbours; several are a sweep, null is one of ten, 1 to 49"
    )


class MlpParams(Request):
    """Hidden layers with ReLU and dropout, trained by Adam on standardised features."""

    hidden: list[Annotated[int, Field(ge=1, le=16_384)]] = Field(
        [1024, 1024], min_length=1, max_length=8
    )
    dropout: float = Field(0.5, ge=0, lt=1)
    epochs: int = Field(30, ge=1, le=10_000)
    batch: int = Field(256, ge=1, le=1_000_000)
    rate: float = Field(1e-3, gt=0, le=10)
    seed: int = Field(0, ge=0, le=2**63 - 1)


class CentroidParams(Request):
    """The nearest class mean of standardised features; nothing to set."""


class LabMethod(Request):
    method: Literal["lab"] = "lab"
    params: LabParams = LabParams()


class LinearMethod(Request):
    method: Literal["linear"]
    params: LinearParams = LinearParams()


class RidgeMethod(Request):
    method: Literal["ridge"]
    params: RidgeParams = RidgeParams()


class KnnMethod(Request):
    method: Literal["knn"]
    params: KnnParams = KnnParams()


class MlpMethod(Request):
    method: Literal["mlp"]
    params: MlpParams = MlpParams()


class CentroidMethod(Request):
    method: Literal["centroid"]
    params: CentroidParams = CentroidParams()


def _method(value: Any) -> Any:
    if isinstance(value, dict):
        return value.get("method", "lab")
    return getattr(value, "method", None)


_BY_METHOD = Discriminator(
    _method,
    custom_error_type="method",
    custom_error_message="method is one of lab, linear, ridge, knn, mlp, centroid",
)


def _short_method(value: Any) -> Any:
    """``"linear"`` is short for an object."""
    return {"method": value} if isinstance(value, str) else value


MethodRequest = Annotated[
    Annotated[
        Annotated[LabMethod, Tag("lab")]
        | Annotated[LinearMethod, Tag("linear")]
        | Annotated[RidgeMethod, Tag("ridge")]
        | Annotated[KnnMethod, Tag("knn")]
        | Annotated[MlpMethod, Tag("mlp")]
        | Annotated[CentroidMethod, Tag("centroid")],
        _BY_METHOD,
    ],
    BeforeValidator(_short_method),
]
"""A method with its parameters, on whatever pack."""


class SubsetRequest(Request):
    """A stratified part of the split to learn from: how good a head is with fewer images."""

    share: float = Field(gt=0, lt=1, description="of each class; groups stay whole")
    draw: int = Field(0, ge=0, le=2**31 - 1, description="which of the random draws")


class _Head(Request):
    """Train a head on a pack."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"pack_id": "3f2a9c0d1b7e-9b1d4c6a0f52"}]},
    )

    pack_id: str
    train: str = Field("train", description="the split to train on")
    validation: str | None = Field(
        "validation", description="the split to score on, or null; never chosen by"
    )
    subset: SubsetRequest | None = None


class LabHead(LabMethod, _Head):
    pass


class LinearHead(LinearMethod, _Head):
    pass


class RidgeHead(RidgeMethod, _Head):
    pass


class KnnHead(KnnMethod, _Head):
    pass


class MlpHead(MlpMethod, _Head):
    pass


class CentroidHead(CentroidMethod, _Head):
    pass


HeadRequest = Annotated[
    Annotated[LabHead, Tag("lab")]
    | Annotated[LinearHead, Tag("linear")]
    | Annotated[RidgeHead, Tag("ridge")]
    | Annotated[KnnHead, Tag("knn")]
    | Annotated[MlpHead, Tag("mlp")]
    | Annotated[CentroidHead, Tag("centroid")],
    _BY_METHOD,
]
