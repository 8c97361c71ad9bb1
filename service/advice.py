"""One dataset, one network: figures first, and what follows from them.

The cells are those of a study: ``linear`` heads on several layers, all of train, and on the last
layer with parts of it. The four cases and what to do in each are those of Stanford's CS231n
(https://cs231n.github.io/transfer-learning/, "When and how to fine-tune?"); it names no numbers,
so those here are ours, each with its reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist, fmean, stdev
from typing import Final, Literal

from cache import networks
from cache.rows import HeadRow
from service.caller import Caller
from service.depths import earlier_layers
from service.head_requests import LinearMethod
from service.paired import Z, paired
from service.resolve import resolve_tap
from service.schemas import JobRequest, TapRequest
from service.state import State
from service.study_cells import Planned
from service.study_requests import AdviceRequest
from service.study_state import Seen

SHARES: Final = (1 / 8, 1 / 4, 1 / 2)
"""Parts of train, each half of the next: the curve is told per doubling."""
DRAWS: Final = 3
"""Of each part: the least that tells how much the choice of images matters."""

WORTH: Final = 0.01
"""A gain of a point of accuracy: less is rarely worth twice the labels or another layer."""
FEW_PER_CLASS: Final = 100
"""Below, a dataset is small whatever its curve: a fine-tuned network has some thousand times more
parameters than such a class has images. The labs' own sets had 100 a class."""
MANY_PER_CLASS: Final = 1000
"""From here on it is large whatever its curve: ImageNet, from which the networks learned from
nothing, has about 1,280 a class."""

Verdict = Literal["yes", "no", "unclear"]
Size = Literal["small", "large"]
Likeness = Literal["similar", "different"]


def plan_advice(state: State, caller: Caller, request: AdviceRequest) -> Planned:
    """The heads that advice needs. Raises FeaturepackError: as ``resolve``, or unfit splits."""
    info = networks.get(request.network)
    names = (
        "network",
        "dataset",
        "weights",
        "transform",
        "numerics",
        "view",
        "priority",
        "private",
    )
    common = {name: getattr(request, name) for name in names}
    last = JobRequest(**common)
    taps = [TapRequest(layer=layer, pool="avg") for layer in earlier_layers(info)]
    plan = Planned(request.train, request.validation)
    methods = [LinearMethod(method="linear")]
    bottleneck = resolve_tap(info, TapRequest())
    taps.append(TapRequest(layer=bottleneck.layer, pool=bottleneck.pool))
    plan.add(state, caller, JobRequest(**common, taps=taps), info.name, methods)
    subsets = [{"share": share, "draw": draw} for share in SHARES for draw in range(DRAWS)]
    plan.add(state, caller, last, info.name, methods, subsets)
    return plan


@dataclass(frozen=True)
class Gain:
    """A difference of accuracies and its 95 % interval."""

    points: float
    low: float
    high: float

    @classmethod
    def of(cls, points: float, error: float, z: float = Z) -> Gain:
        return cls(points, points - z * error, points + z * error)


@dataclass(frozen=True)
class Point:
    """The last layer's accuracy with a part of train: the mean of the draws."""

    share: float
    train_rows: float
    accuracies: list[float]

    @property
    def accuracy(self) -> float:
        return fmean(self.accuracies)


@dataclass(frozen=True)
class Figures:
    """All that was measured; of layers, in order, the last is the bottleneck."""

    layers: list[Seen]
    curve: list[Point]
    over_last: list[Gain | None]
    """What each earlier layer gains over the last; one interval for all of them together."""
    doubling: Gain | None
    """What the last doubling of train gained."""


def figures_of(seen: list[Seen]) -> Figures:
    """The figures of those cells that have a head."""
    layers = [one for one in seen if one.head and "subset" not in one.cell]
    parts = [one for one in seen if one.head and "subset" in one.cell]
    last_tap = [one.cell["tap"] for one in seen if "subset" in one.cell][-1]
    last = next((one for one in layers if one.cell["tap"] == last_tap), None)
    curve = [_point(share, parts) for share in SHARES]
    over_last: list[Gain | None] = []
    if last is not None:
        curve.append(Point(1.0, float(_rows(last)), [last.accuracy]))
        earlier = [one for one in layers if one is not last]
        z = NormalDist().inv_cdf(1 - 0.025 / max(1, len(earlier)))  # Bonferroni
        over_last = [_over(one, last, z) for one in earlier]
    halves = [one for one in parts if one.cell["subset"]["share"] == SHARES[-1]]
    whole = last is not None and len(halves) == DRAWS
    return Figures(
        layers=layers,
        curve=[point for point in curve if point.accuracies],
        over_last=over_last,
        doubling=_doubling(last, halves) if whole and last is not None else None,
    )


def _point(share: float, parts: list[Seen]) -> Point:
    mine = [one for one in parts if one.cell["subset"]["share"] == share]
    rows = fmean([_rows(one) for one in mine]) if mine else 0.0
    return Point(share, rows, [one.accuracy for one in mine])


def _rows(one: Seen) -> int:
    return int(_head(one).metrics["train_rows"])


def _head(one: Seen) -> HeadRow:
    assert one.head is not None
    return one.head


def _over(one: Seen, last: Seen, z: float) -> Gain | None:
    compared = paired(_head(one), _head(last))
    return None if compared is None else Gain.of(compared.difference, compared.error, z)


def _doubling(whole: Seen, halves: list[Seen]) -> Gain | None:
    """All of train against its half, mean of the draws.

    Two sources of chance, taken as independent: the validation images (the mean of the draws'
    paired errors, as the draws share the images), and the choice of train, seen in the spread of
    the halves; all of train is one draw itself and is taken to vary no more than a half does.
    """
    pairs = [paired(_head(whole), _head(half)) for half in halves]
    known = [pair for pair in pairs if pair is not None]
    if len(known) < 2:
        return None
    images = fmean(pair.error for pair in known)
    choice = stdev(half.accuracy for half in halves)
    error = sqrt(images**2 + choice**2 * (1 + 1 / len(known)))
    return Gain.of(fmean(pair.difference for pair in known), error)


@dataclass(frozen=True)
class Case:
    """Which of the four cases, and by which figures."""

    more_data: Verdict
    size: Size
    per_class: float
    likeness: Likeness
    best: Seen
    """The layer to use: the last one, unless an earlier one is better beyond doubt."""
    gain: Gain | None
    """Of the best earlier layer over the last."""
    rival: Seen | None
    """That earlier layer."""


def case_of(figures: Figures, classes: int) -> Case | None:
    """None where heads cannot be compared, as they were trained before that was kept."""
    *earlier, last = figures.layers
    gains = [gain for gain in figures.over_last if gain is not None]
    if figures.doubling is None or len(gains) != len(earlier):
        return None
    rival, gain = max(
        zip(earlier, gains, strict=True), key=lambda pair: pair[1].points, default=(None, None)
    )
    different = gain is not None and gain.low > 0 and gain.points >= WORTH
    per_class = _rows(last) / classes
    more = _more_data(figures.doubling)
    return Case(
        more_data=more,
        size=_size(per_class, more),
        per_class=per_class,
        likeness="different" if different else "similar",
        best=rival if different and rival is not None else last,
        gain=gain,
        rival=rival,
    )


def _more_data(doubling: Gain) -> Verdict:
    if doubling.low > 0 and doubling.points >= WORTH:
        return "yes"
    return "no" if doubling.high < WORTH else "unclear"


def _size(per_class: float, more_data: Verdict) -> Size:
    """The count decides where it is clear; between, whether the curve has become flat."""
    if per_class < FEW_PER_CLASS:
        return "small"
    if per_class >= MANY_PER_CLASS:
        return "large"
    return "large" if more_data == "no" else "small"
