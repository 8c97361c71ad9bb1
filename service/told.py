"""What workers tell of jobs and heads: documented here, and passed on as it is.

A worker's values are neither checked nor completed on their way out: older ones may lack a field,
and a job of another kind may have others.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from pydantic import GetJsonSchemaHandler, TypeAdapter
from pydantic.json_schema import JsonSchemaValue
from typing_extensions import TypedDict  # typing's own cannot be documented before Python 3.12


class Documented:
    """``Annotated[dict[str, Any], Documented(Progress)]``: a dict that OpenAPI describes so."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind

    def __get_pydantic_json_schema__(
        self, _schema: Any, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(TypeAdapter(self.kind).core_schema)


class Progress(TypedDict, total=False):
    """What a running job is at; extractions tell all but the last three, which are of heads.

    ``history`` has ``[seconds, images per second since the last]`` of at most 60 moments.
    """

    phase: str
    rows_total: int
    rows_done: int
    rows_copied: int
    rows_computed: int
    rows_invalid: int
    images_per_second: float
    seconds_left: float | None
    history: list[tuple[float, float]]
    seconds: float
    decode_seconds: float
    compute_seconds: float
    write_seconds: float
    limited_by: Literal["decode", "compute", "write"] | None
    epoch: int
    epochs: int
    fold: int


class Share(TypedDict):
    """How many of ``rows`` were classified rightly, with Wilson's 95 % interval."""

    rows: int
    accuracy: float | None
    interval: list[float] | None


ClassScore = TypedDict(
    "ClassScore",
    {"class": str, "rows": int, "precision": float, "recall": float, "f1": float},
)


class Mistake(TypedDict):
    """A row that the head takes for another class, and the probabilities of both."""

    row: int
    row_id: str
    label: str
    predicted: str
    probability: float
    label_probability: float


class Reliability(TypedDict):
    """Rows of about one confidence, and how many of them were right."""

    confidence: float
    accuracy: float
    rows: int


class Evaluation(Share):
    """The validation split. ``confusion[label][predicted]`` is null with very many classes."""

    top5_accuracy: float
    loss: float
    macro_f1: float
    per_class: list[ClassScore]
    confusion: list[list[int]] | None
    most_wrong: list[Mistake]
    roc_auc: NotRequired[float | None]
    calibration_error: float
    reliability: list[Reliability]


class Duplicate(TypedDict):
    """Ids of a validation row and of its like in train; ``cosine`` is null for equal ones."""

    validation: str
    train: str
    cosine: float | None


class Trust(TypedDict):
    """What validation shares with train, and what the accuracy is without it.

    The last three are of datasets whose images come in groups.
    """

    with_all: Share
    exact_duplicates: int
    without_exact_duplicates: Share
    near_duplicates: int
    near_duplicates_from: float
    near_duplicates_compared: int
    without_near_duplicates: Share
    duplicate_pairs: list[Duplicate]
    groups_on_both_sides: NotRequired[int]
    rows_of_groups_on_both_sides: NotRequired[int]
    without_groups_on_both_sides: NotRequired[Share]


class LabelNoise(TypedDict):
    """Of so many ``rows`` of train, labels that look wrong, and the surest of them."""

    rows: int
    suspects: int
    surest: list[Mistake]


class Epoch(TypedDict):
    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: NotRequired[float]
    validation_accuracy: NotRequired[float]


class Right(TypedDict):
    """Which validation rows were right, as bits in hex; heads of equal ``rows`` can be compared."""

    rows: str
    bits: str


class Metrics(TypedDict):
    """A head's scores. What belongs to validation lacks where there is no such split.

    Lists leave out the last six.
    """

    train_rows: int
    train_accuracy: float
    train_interval: list[float]
    train_loss: float
    validation_rows: int
    validation_accuracy: NotRequired[float]
    validation_interval: NotRequired[list[float]]
    validation_loss: NotRequired[float]
    seconds: float
    chosen: NotRequired[dict[str, float | bool]]
    curves: NotRequired[list[Epoch]]
    sweep: NotRequired[list[dict[str, float]]]
    evaluation: NotRequired[Evaluation]
    trust: NotRequired[Trust]
    label_noise: NotRequired[LabelNoise]
    validation_right: NotRequired[Right]
