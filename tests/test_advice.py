"""Advice: its figures by hand, its four cases, and all of it over HTTP."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from cache import networks
from cache.rows import HeadRow
from cache.store import Store
from service.advice import DRAWS, SHARES, Gain, case_of, figures_of
from service.advice_words import words_of
from service.depths import earlier_layers
from service.study_state import Seen
from tests.serving import serving, worker_running
from tests.working import count_images

WAIT = {"Prefer": "wait=60"}
IMAGES = 1000
ADVICE = {
    "network": "resnet18",
    "dataset": "digits",
    "weights": "random:0",
    "transform": {"preset": "stretch", "size": 32},
    "view": {"validation": 0.2, "limit": 150},
}


def seen(tap: str, right: int, rows: int, subset: dict[str, Any] | None = None) -> Seen:
    """A head that gets the first so many of 1,000 images right."""
    bits = np.packbits(np.arange(IMAGES) < right).tobytes().hex()
    share = right / IMAGES
    metrics = {
        "validation_accuracy": share,
        "validation_interval": [share - 0.03, share + 0.03],
        "validation_rows": IMAGES,
        "validation_right": {"rows": "h", "bits": bits},
        "train_rows": rows,
    }
    cell = {"tap": tap} | ({"subset": subset} if subset else {})
    head = HeadRow(f"{tap}{subset}", "r-d", "linear", {}, metrics)
    return Seen(cell, "succeeded", head, None, None)


def measured(early: int, last: int, halves: tuple[int, ...], rows: int) -> list[Seen]:
    """Two layers, and the curve of the last one."""
    parts = [
        seen("last", half - 50 * (len(SHARES) - 1 - place), int(rows * share), subset)
        for place, share in enumerate(SHARES)
        for draw, half in enumerate(halves)
        if (subset := {"share": share, "draw": draw})
    ]
    return [seen("early", early, rows), seen("last", last, rows), *parts]


def test_the_gain_of_a_doubling_and_its_uncertainty_by_hand() -> None:
    figures = figures_of(measured(700, 800, (760, 770, 780), 2000))
    assert [point.share for point in figures.curve] == [*SHARES, 1.0]
    assert [point.train_rows for point in figures.curve] == [250, 500, 1000, 2000]
    assert figures.curve[-2].accuracies == [0.76, 0.77, 0.78]
    assert figures.doubling is not None
    assert figures.doubling.points == pytest.approx(0.03)
    errors = [math.sqrt(d * (1 - d) / IMAGES) for d in (0.04, 0.03, 0.02)]
    error = math.sqrt(np.mean(errors) ** 2 + 0.01**2 * (1 + 1 / 3))
    assert figures.doubling.low == pytest.approx(0.03 - 1.959964 * error, abs=1e-6)
    assert figures.doubling.high == pytest.approx(0.03 + 1.959964 * error, abs=1e-6)
    (over,) = figures.over_last
    expected = Gain.of(-0.1, math.sqrt(0.1 * 0.9 / IMAGES))
    assert over is not None
    assert vars(over) == pytest.approx(vars(expected), abs=1e-6)


@pytest.mark.parametrize(
    ("early", "last", "halves", "rows", "expected"),
    [
        (700, 800, (799, 800, 801), 500, ("small", "similar", "no", "last")),
        (700, 800, (750, 751, 752), 5000, ("small", "similar", "yes", "last")),
        (805, 800, (740, 780, 800), 5000, ("small", "similar", "unclear", "last")),
        (700, 800, (799, 800, 801), 5000, ("large", "similar", "no", "last")),
        (700, 800, (750, 751, 752), 20000, ("large", "similar", "yes", "last")),
        (900, 800, (750, 751, 752), 5000, ("small", "different", "yes", "early")),
        (900, 800, (799, 800, 801), 5000, ("large", "different", "no", "early")),
    ],
)
def test_the_four_cases_follow_from_the_figures(
    early: int, last: int, halves: tuple[int, ...], rows: int, expected: tuple[str, ...]
) -> None:
    figures = figures_of(measured(early, last, halves, rows))
    case = case_of(figures, classes=10)
    assert case is not None
    assert (case.size, case.likeness, case.more_data, case.best.cell["tap"]) == expected
    words = words_of(figures, case)
    assert f"{last / 10:.1f} %" in words[0]
    assert ("transfers better" in words[1]) == (case.likeness == "different")
    assert f"{(early - last) / 10:+.1f} points" in words[1]
    assert f"{rows / 10:.0f} images a class" in words[3]
    assert len(words) == 5


def test_of_many_earlier_layers_one_that_is_better_by_chance_does_not_count() -> None:
    """Two standard errors over the last layer: enough for one layer, not for the best of four."""
    cells = measured(700, 700, (690, 700, 710), 2000)
    lucky = seen("lucky", 700 + 5, 2000)
    lone = figures_of([lucky, *cells[1:]]).over_last[0]
    many = figures_of([lucky, cells[0], cells[0], cells[0], *cells[1:]]).over_last[0]
    assert lone is not None
    assert many is not None
    assert many.low < 0 < lone.low


@pytest.mark.parametrize("name", networks.names())
def test_layers_from_early_to_late_give_vectors_before_the_bottleneck(name: str) -> None:
    info = networks.get(name)
    layers = earlier_layers(info)
    nodes = list(info.layers)
    places = [nodes.index(layer) for layer in layers]
    assert places == sorted(set(places))
    assert all(place < nodes.index(info.default_tap.layer) for place in places)
    assert all(len(info.feature_shape(layer, "avg")) == 1 for layer in layers)
    assert len(layers) >= (1 if name.startswith("swin") else 3)


def test_advice_over_http(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    images = count_images(monkeypatch)
    with serving(store) as service, worker_running(store):
        source = {"kind": "builtin", "name": "digits"}
        service.post("/v1/datasets", {"name": "digits", "source": source}, 201)
        asked = service.post("/v1/advice", ADVICE, 202)
        assert (asked["case"], asked["words"]) == (None, [])
        found = service.get(f"/v1/advice/{asked['advice_id']}", headers=WAIT)
        study = service.get(f"/v1/studies/{asked['advice_id']}")
        text = service.http.get(f"/v1/advice/{asked['advice_id']}?format=markdown").text
        again = service.post("/v1/advice", ADVICE, 200)
        other = service.post("/v1/studies", STUDY, 202)
        service.get(f"/v1/advice/{other['study_id']}", 404)
        wrong = service.post("/v1/advice", ADVICE | {"view": {}}, 404)
    assert (found["state"], again["advice_id"]) == ("succeeded", asked["advice_id"])
    assert [layer["tap"] for layer in found["layers"]] == [
        "layer1.0.relu_1:avg",
        "layer2.0.relu_1:avg",
        "layer3.0.relu_1:avg",
        "layer3.1.relu_1:avg",
        "flatten",
    ]
    assert sum(images) < 2 * 300, "all layers are one forward pass over 300 images"
    assert [point["share"] for point in found["curve"]] == [*SHARES, 1.0]
    rows = [point["train_rows"] for point in found["curve"]]
    assert rows[-1] == 150
    assert all(2 * few == pytest.approx(more, rel=0.15) for few, more in pairwise(rows))
    assert found["curve"][-1]["accuracy"] == found["layers"][-1]["accuracy"]
    assert found["layers"][-1]["over_last"] is None
    assert found["case"]["size"] == "small", "15 images a class"
    assert found["words"][0] in text
    assert len(study["cells"]) == 5 + DRAWS * len(SHARES)
    assert len(study["tables"][0]["rows"][0]["entries"]) == 1
    assert len(study["ranking"][0]["places"]) == 5, "parts of train do not compete"
    assert "no split 'validation'" in wrong["detail"]


STUDY = {
    "networks": [{name: ADVICE[name] for name in ("network", "weights", "transform")}],
    "datasets": [{name: ADVICE[name] for name in ("dataset", "view")}],
    "methods": ["ridge"],
}
