"""Query parameters as a model, read by hand: FastAPI's way takes as long as a small answer."""

from __future__ import annotations

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from service.problems import invalid_request

Model = TypeVar("Model", bound=BaseModel)


def query_of(request: Request, model: type[Model]) -> Model:
    """The request's query; what is given several times becomes a list.

    Raises:
        InvalidRequest: unknown parameters, or values that do not fit.
    """
    given: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name not in given:
            given[name] = value
        elif isinstance(given[name], list):
            given[name].append(value)
        else:
            given[name] = [given[name], value]
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise invalid_request(error) from error


def documented(model: type[BaseModel], body: type[BaseModel] | None = None) -> dict[str, Any]:
    """What FastAPI would have told OpenAPI of a query, and of a JSON body."""
    parameters = [
        {"name": name, "in": "query", "required": False}
        | {"description": schema.pop("description", ""), "schema": schema}
        for name, schema in model.model_json_schema()["properties"].items()
    ]
    told: dict[str, Any] = {"parameters": parameters}
    if body is not None:
        content = {"application/json": {"schema": body.model_json_schema()}}
        told["requestBody"] = {"required": True, "content": content}
    return told
