"""What OpenAPI says of progress and metrics is what workers tell: no field more, none less."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from service.told import Metrics, Progress
from tests.serving import Serving


def documented(kind: Any, told: dict[str, Any]) -> dict[str, Any]:
    """What of it is documented. Raises ValidationError where a value is not as documented."""
    adapter = TypeAdapter(kind)
    known: dict[str, Any] = json.loads(adapter.dump_json(adapter.validate_python(told)))
    return known


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("lab", {"epochs": 2}),
        ("linear", {"l2": [1.0, 100.0]}),
        ("ridge", {}),
        ("knn", {"k": [1, 3]}),
        ("mlp", {"epochs": 2}),
        ("centroid", {}),
    ],
)
def test_metrics(
    served: Serving, pack: dict[str, Any], method: str, params: dict[str, Any]
) -> None:
    body = {"pack_id": pack["pack_id"], "method": method, "params": params}
    head = served.post("/v1/heads", body, headers={"Prefer": "wait=60"})
    assert documented(Metrics, head["metrics"]) == head["metrics"]


def test_progress(served: Serving, pack: dict[str, Any]) -> None:
    progress = [job["progress"] for job in served.get("/v1/jobs?limit=500")["items"]]
    assert any("limited_by" in one for one in progress)
    for one in progress:
        assert documented(Progress, one) == one


def test_the_document_has_them(served: Serving) -> None:
    schemas = served.get("/openapi.json")["components"]["schemas"]
    assert "epochs" in schemas["JobAnswer"]["properties"]["progress"]["properties"]
    assert schemas["HeadAnswer"]["properties"]["metrics"] == {
        "$ref": "#/components/schemas/Metrics"
    }
