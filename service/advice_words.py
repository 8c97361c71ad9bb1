"""Advice in words; each sentence follows from figures that the answer has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from service.advice import FEW_PER_CLASS, MANY_PER_CLASS, WORTH, Case, Figures, Gain
from service.study_tables import between, percent

TO_DO: Final = {
    ("small", "similar"): (
        "linear head",
        "Train a linear head on the last layer; fine-tuning so few images would overfit.",
    ),
    ("small", "different"): (
        "earlier layer",
        "Train a linear head on the earlier layer, whose features are less of what the network was "
        "trained on; fine-tuning so few images would overfit.",
    ),
    ("large", "similar"): (
        "fine-tune",
        "Fine-tune the whole network, from these weights and a linear head: there are images "
        "enough not to overfit, and a linear head is the score to beat.",
    ),
    ("large", "different"): (
        "train from scratch",
        "There are images enough to train a network from scratch; beginning with these weights and "
        "fine-tuning all of it mostly still helps. The linear head is the score to beat.",
    ),
}
"""The four cases of CS231n: a short name, and what to do."""


def words_of(figures: Figures, case: Case) -> list[str]:
    return list(_words(figures, case))


def _words(figures: Figures, case: Case) -> Iterator[str]:
    last = figures.layers[-1]
    yield (
        f"A linear head on the last layer, {last.cell['tap']}, gets {percent(last.accuracy)} "
        f"({between(last.interval)}) right."
    )
    if case.rival is not None and case.gain is not None:
        told = f"the best earlier layer, {case.rival.cell['tap']}, gains {_points(case.gain)} on it"
        if case.likeness == "different":
            yield f"An earlier layer transfers better: {told}; so the images are different."
        else:
            yield f"No earlier layer is clearly better: {told}; so the images are similar enough."
    assert figures.doubling is not None
    yield {
        "yes": f"More images would help: the last doubling gained {_points(figures.doubling)}.",
        "no": f"More images would hardly help this head: the last doubling gained "
        f"{_points(figures.doubling)}, less than {100 * WORTH:g} for sure.",
        "unclear": f"Whether more images would help is not clear: the last doubling gained "
        f"{_points(figures.doubling)}.",
    }[case.more_data]
    yield f"With {case.per_class:.0f} images a class, {_why(case)}, the dataset is {case.size}."
    yield TO_DO[case.size, case.likeness][1]


def _why(case: Case) -> str:
    if case.per_class < FEW_PER_CLASS:
        return f"fewer than {FEW_PER_CLASS}"
    if case.per_class >= MANY_PER_CLASS:
        return f"at least {MANY_PER_CLASS}"
    return "and a flat curve" if case.size == "large" else "and a curve that is not flat"


def _points(gain: Gain) -> str:
    low, high = 100 * gain.low, 100 * gain.high
    return f"{100 * gain.points:+.1f} points ({low:+.1f} to {high:+.1f})"
