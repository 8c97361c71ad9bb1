"""Query parameters as a model, for routes that take nothing but the request.

FastAPI would find and check everything by itself, but takes longer for it than a small answer does.
"""

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


def documented(
    model: type[BaseModel] | None = None, body: type[BaseModel] | None = None
) -> dict[str, Any]:
    """What FastAPI would have told OpenAPI of a pack's id, a query, and a JSON body."""
    named = model.model_json_schema()["properties"] if model else {}
    parameters: list[dict[str, Any]] = [
        {"name": "pack_id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    for name, schema in named.items():
        told = {"name": name, "in": "query", "required": False, "schema": schema}
        parameters.append(told | {"description": schema.pop("description", "")})
    if body is None:
        return {"parameters": parameters}
    content = {"application/json": {"schema": body.model_json_schema()}}
    return {"parameters": parameters, "requestBody": {"required": True, "content": content}}
