"""Advice as a JSON model and as Markdown: figures first, words second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Literal

from pydantic import BaseModel, Field

from cache.rows import StudyRow
from service.advice import Gain, Likeness, Size, Verdict, case_of, figures_of
from service.advice_words import TO_DO, words_of
from service.study_state import Seen, StudyState, progress_of, state_of
from service.study_tables import between, markdown_table, percent


class GainAnswer(BaseModel):
    """A difference of accuracies and its 95 % interval."""

    points: float
    low: float
    high: float


class LayerAnswer(BaseModel):
    tap: str
    accuracy: float
    interval: list[float]
    over_last: GainAnswer | None = Field(
        description="gain over the last layer, on the same images; the intervals of all layers "
        "hold together"
    )
    head_id: str


class PointAnswer(BaseModel):
    """A linear head on the last layer that learned from a part of train."""

    share: float
    train_rows: float
    accuracy: float = Field(description="mean of the draws")
    accuracies: list[float]


class CaseAnswer(BaseModel):
    """One of the four cases of transfer learning (CS231n), and the layer to use."""

    size: Size
    likeness: Likeness
    images_per_class: float
    more_data_helps: Verdict
    best_tap: str
    do: str


class AdviceAnswer(BaseModel):
    """Figures come as heads do; ``case`` and ``words`` when all are there."""

    object: Literal["advice"] = "advice"
    advice_id: str = Field(description="also the id of the study of these heads")
    state: StudyState
    progress: dict[str, Any]
    network: str
    dataset: str
    layers: list[LayerAnswer] = Field(description="from early to late")
    curve: list[PointAnswer]
    doubling: GainAnswer | None = Field(description="what the last doubling of train gained")
    case: CaseAnswer | None
    words: list[str]
    error: dict[str, Any] | None = Field(description="of the first cell that failed")

    @classmethod
    def of(cls, row: StudyRow, seen: list[Seen]) -> AdviceAnswer:
        figures, state = figures_of(seen), state_of(seen)
        cell = row.cells[0]
        case = case_of(figures, cell["classes"]) if state == "succeeded" else None
        failed = [one.job.error for one in seen if one.state == "failed" and one.job]
        over_last = [*map(_gain, figures.over_last)]
        over_last += [None] * (len(figures.layers) - len(over_last))
        return cls(
            advice_id=row.study_id,
            state=state,
            progress=progress_of(seen),
            network=cell["network"],
            dataset=cell["dataset"],
            layers=[_layer(*pair) for pair in zip(figures.layers, over_last, strict=True)],
            curve=[PointAnswer(**vars(point), accuracy=point.accuracy) for point in figures.curve],
            doubling=_gain(figures.doubling),
            case=case
            and CaseAnswer(
                size=case.size,
                likeness=case.likeness,
                images_per_class=case.per_class,
                more_data_helps=case.more_data,
                best_tap=case.best.cell["tap"],
                do=TO_DO[case.size, case.likeness][0],
            ),
            words=words_of(figures, case) if case else [],
            error=failed[0] if failed else None,
        )

    def markdown(self) -> str:
        return "\n".join(self._markdown()) + "\n"

    def _markdown(self) -> Iterator[str]:
        yield f"# {self.network} on {self.dataset}: {self.state}"
        yield from ("", "## Layers, early to late", "")
        yield from markdown_table(
            ["layer", "accuracy", "95 % interval", "over the last layer"],
            (
                [f"`{one.tap}`", percent(one.accuracy), between(one.interval), _told(one.over_last)]
                for one in self.layers
            ),
        )
        yield from ("", "## Training images, last layer", "")
        yield from markdown_table(
            ["images", "share", "accuracy", "draws"],
            (
                [
                    f"{point.train_rows:.0f}",
                    f"{point.share:g}",
                    percent(point.accuracy),
                    ", ".join(map(percent, point.accuracies)),
                ]
                for point in self.curve
            ),
        )
        if self.case is not None:
            yield from ("", f"## {self.case.size}, {self.case.likeness}: {self.case.do}", "")
            yield from (f"- {sentence}" for sentence in self.words)
        elif self.error is not None:
            yield from ("", self.error["detail"])


def _gain(gain: Gain | None) -> GainAnswer | None:
    return None if gain is None else GainAnswer(**asdict(gain))


def _layer(seen: Seen, over_last: GainAnswer | None) -> LayerAnswer:
    assert seen.head is not None
    return LayerAnswer(
        tap=seen.cell["tap"],
        accuracy=seen.accuracy,
        interval=list(seen.interval),
        over_last=over_last,
        head_id=seen.head.head_id,
    )


def _told(gain: GainAnswer | None) -> str:
    if gain is None:
        return ""
    return f"{100 * gain.points:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"
