"""Board, alerts and documentation name the metrics and labels that the service has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Final

import pytest
import yaml
from starlette.testclient import TestClient

from cache.catalogue import Catalogue
from cache.signs import DeviceMemory, LaneSign
from cache.store import Store
from service.app import create_app
from service.settings import ServiceSettings
from tests.deployment import ROOT

MONITORING = ROOT / "deploy" / "monitoring"
OF_PROMETHEUS: Final = {"le", "job", "instance"}
"""Labels that histograms and Prometheus itself add."""

_METRIC = re.compile(r"\b(?:featurepack|process)_[a-z_]+")
_SELECTED = re.compile(r"[{,]\s*([a-z_]+)\s*(?:=|!=)")
_GROUPED = re.compile(r"\bby \(([^)]*)\)")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Names as they can be asked for → the labels that the service's answer shows of each."""
    store = Store(tmp_path_factory.mktemp("store"))
    with TestClient(create_app(ServiceSettings(store, store.database_url))) as http:
        catalogue: Catalogue = http.app.state.featurepack.catalogue  # type: ignore[attr-defined]
        lanes = {"quick": LaneSign(["head"], 0.0)}
        catalogue.worker_seen("w", "cuda:0", "m", 500, lanes, [DeviceMemory("cuda:0", 3, 7)])
        http.get("/v1/packs/none")
        text = http.get("/metrics").text
    names: dict[str, set[str]] = {}
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        parts = ("_bucket", "_count", "_sum") if kind == "histogram" else ("",)
        names |= {name + part: set() for part in parts}
    for name, labels in re.findall(r"^([a-z_]+){(.*)} ", text, re.MULTILINE):
        names[name] |= set(re.findall(r'([a-z_]+)="', labels))
    return names


def expressions() -> Iterator[str]:
    board = json.loads((MONITORING / "grafana.json").read_text())
    panels = (panel["targets"] for panel in board["panels"])
    yield from (target["expr"] for target in chain.from_iterable(panels))
    alerts = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    rules = (group["rules"] for group in alerts["groups"])
    yield from (rule["expr"] for rule in chain.from_iterable(rules))


def documented() -> dict[str, set[str]]:
    """The table in docs/observing.md: name → labels."""
    page = (ROOT / "docs" / "observing.md").read_text()
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \| (?:counter|gauge|histogram) \| ([^|]*)\|", page, re.M)
    return {
        f"featurepack_{name}": set(re.findall(r"`([a-z]+)`", labels))
        for names, labels in rows
        for name in re.findall(r"`([a-z_]+)`", names)
    }


def test_what_is_watched_is_told(told: dict[str, set[str]]) -> None:
    asked = list(expressions())
    assert len(asked) > 30
    assert {name for expr in asked for name in _METRIC.findall(expr)} <= told.keys()


def test_labels_that_are_asked_for_are_documented() -> None:
    known = set().union(OF_PROMETHEUS, *documented().values())
    for expr in expressions():
        grouped = chain.from_iterable(re.split(r", *", by) for by in _GROUPED.findall(expr))
        assert {*_SELECTED.findall(expr), *grouped} <= known, expr


def test_the_documented_metrics_are_those_that_are_told(told: dict[str, set[str]]) -> None:
    own = {name: labels for name, labels in told.items() if name.startswith("featurepack_")}
    bare = {re.sub("_(?:bucket|count|sum)$", "", name) for name in own}
    assert documented().keys() == bare
    for name, labels in documented().items():
        found = set().union(*(told.get(name + part, set()) for part in ("", "_count")))
        assert found in (labels, set()), name  # empty: nothing happened yet
