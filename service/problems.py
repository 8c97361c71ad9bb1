"""Errors → ``application/problem+json`` (RFC 9457). The one table of status codes."""

from __future__ import annotations

import errno
import json
import logging
import math
from typing import Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from cache import errors
from cache.errors import FeaturepackError
from cache.origin import current
from service.state import State

log = logging.getLogger("featurepack.service")

STATUS: Final[dict[type[FeaturepackError], int]] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.InvalidRequest: 422,
    errors.OutOfRange: 416,
    errors.TooLarge: 413,
    errors.Unauthorised: 401,
    errors.Forbidden: 403,
    errors.QuotaExceeded: 429,
    errors.StorageFull: 507,
    errors.Busy: 429,
    errors.CorruptData: 422,
    errors.LeaseLost: 409,
    errors.Unavailable: 503,
    FeaturepackError: 500,
}

RETRY_AFTER_SECONDS: Final[dict[type[FeaturepackError], str]] = {
    errors.Busy: "1",
    errors.Unavailable: "5",
}

Model = TypeVar("Model", bound=BaseModel)


class Problem(BaseModel):
    """RFC 9457, with the offending ``value``, a ``remedy``, and what the log calls the request."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    value: Any
    remedy: str
    request_id: str


RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    "default": {
        "description": "a problem: what is wrong, the value, and what to do",
        "content": {"application/problem+json": {"schema": Problem.model_json_schema()}},
    }
}
"""What every call may answer, for OpenAPI."""


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """ASCII, because the offending value may hold text that is not Unicode."""
        return json.dumps(_finite(content)).encode("ascii")


def _finite(value: Any) -> Any:
    """The value with NaN and infinity as text: JSON has no numbers for them."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def status_of(error: FeaturepackError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def _headers(error: FeaturepackError) -> dict[str, str] | None:
    if status_of(error) == 401:
        return {"WWW-Authenticate": 'Bearer realm="featurepack"'}  # RFC 6750
    if isinstance(error, errors.QuotaExceeded):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    for cls in type(error).__mro__:
        if cls in RETRY_AFTER_SECONDS:
            return {"Retry-After": RETRY_AFTER_SECONDS[cls]}
    return None


def problem(error: FeaturepackError, request: Request) -> ProblemResponse:
    """One error as a problem document."""
    _count(request, error.kind)
    return ProblemResponse(document(error, request), status_of(error), _headers(error))


def document(error: FeaturepackError, request: Request) -> dict[str, Any]:
    """The fields of a :class:`Problem`."""
    return {
        "type": f"urn:featurepack:problem:{error.kind}",
        "title": error.title,
        "status": status_of(error),
        "detail": error.message,
        "instance": request.url.path,
        "value": jsonable_encoder(error.value),
        "remedy": error.remedy,
        "request_id": current().request_id,
    }


def _count(request: Request, kind: str) -> None:
    kept: State = request.app.state.featurepack
    kept.metrics.problems.labels(kind).inc()


def install(app: FastAPI) -> None:
    """Answer every error of this application as a problem."""

    @app.exception_handler(FeaturepackError)
    async def known(request: Request, error: FeaturepackError) -> ProblemResponse:
        return problem(error, request)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> ProblemResponse:
        return problem(invalid_request(error), request)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> ProblemResponse:
        cause = error.__cause__  # what was raised while a body was read
        if isinstance(cause, OSError) and _is_disk_full(cause):
            return problem(_disk_full(cause), request)
        if isinstance(cause, FeaturepackError):
            return problem(cause, request)
        _count(request, "http")
        document = {
            "type": "about:blank",
            "title": error.detail,
            "status": error.status_code,
            "detail": f"{request.method} {request.url.path}: {error.detail}",
            "instance": request.url.path,
            "value": request.url.path,
            "remedy": "see /docs for what can be called",
            "request_id": current().request_id,
        }
        return ProblemResponse(document, error.status_code, error.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=400)  # nobody reads it

    @app.exception_handler(OSError)
    async def system(request: Request, error: OSError) -> ProblemResponse:
        if _is_disk_full(error):
            return problem(_disk_full(error), request)
        try:
            request.app.state.featurepack.store.check()
        except errors.Unavailable as gone:
            return problem(gone, request)
        return _unexpected(request, error)

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> ProblemResponse:
        return _unexpected(request, error)


def _unexpected(request: Request, error: Exception) -> ProblemResponse:
    log.error("unexpected", exc_info=error)
    remedy = "report this; the service's log has more"
    return problem(FeaturepackError("something went wrong", remedy=remedy), request)


def _is_disk_full(error: OSError) -> bool:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def _disk_full(error: OSError) -> errors.Unavailable:
    return errors.Unavailable(
        "the disk is full",
        value=error.strerror,
        remedy="free space on the store's disk (DELETE /v1/packs/{id} frees a pack's), then try "
        "again",
    )


async def validated(request: Request, model: type[Model]) -> Model:
    """The request's JSON body as a model, where FastAPI cannot parse it by itself.

    Raises:
        InvalidRequest: no JSON, or values that do not fit.
    """
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise invalid_request(error) from error


def invalid_request(error: RequestValidationError | ValidationError) -> errors.InvalidRequest:
    """The first mistake as the problem, all of them as its value."""
    if error.errors()[0]["type"] == "json_invalid":
        reason = error.errors()[0].get("ctx", {}).get("error", "it cannot be parsed")
        return errors.InvalidRequest(
            f"the body is no JSON: {reason}", value=None, remedy="send application/json"
        )
    mistakes = [
        {
            "where": ".".join(str(part) for part in mistake["loc"]),
            "what": mistake["msg"],
            "value": mistake.get("input"),
        }
        for mistake in error.errors()
    ]
    first = mistakes[0]
    return errors.InvalidRequest(
        f"{first['where']}: {first['what']}",
        value=mistakes if len(mistakes) > 1 else first["value"],
        remedy=f"mend {first['where']}; /docs shows what is expected",
    )
