"""Errors → ``application/problem+json`` (RFC 9457). The one table of status codes."""

from __future__ import annotations

import errno
import json
import logging
import math
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import Scope

from cache import errors
from cache.errors import FeaturepackError
from cache.origin import current
from service.shown import short, shown

if TYPE_CHECKING:
    from service.state import State  # what it opens makes problems, too

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
    errors.Unreachable: 424,  # trying again will not help, which is what 503 says
    errors.Unavailable: 503,
    FeaturepackError: 500,
}

RETRY_AFTER_SECONDS: Final[dict[type[FeaturepackError], str]] = {
    errors.Busy: "1",
    errors.Unavailable: "5",
}

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

MAX_DETAIL: Final = 4000
"""Letters: some errors name what they found."""

Model = TypeVar("Model", bound=BaseModel)


_JSON: Final = re.compile(r"application/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
"""What FastAPI takes for JSON in other routes. A page of another site cannot send it unasked."""


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


_PROBLEMS: Final = {
    400: "the request cannot be read: no HTTP, form or JSON that is whole",
    401: "a valid key is needed",
    403: "the key does not allow this, or the service is not called like this",
    404: "nothing answers to this name or id",
    409: "the present state forbids it",
    413: "beyond a stated limit",
    422: "a value that can never be right",
    424: "a download that this depends on failed; the remedy says which file to put where",
    429: "as much is under way as may be, or an allowance is used up; see Retry-After",
    503: "the database, the store or a worker does not answer; see Retry-After",
    507: "the team may not store so much",
}

PROBLEM: Final[dict[str, Any]] = {
    "content": {"application/problem+json": {"schema": Problem.model_json_schema()}}
}
"""Of an answer in OpenAPI."""

RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    status: PROBLEM | {"description": description} for status, description in _PROBLEMS.items()
}
"""What every call may answer, for OpenAPI: a problem that says what is wrong and what to do."""


class ProblemResponse(JSONResponse):
    media_type = "application/problem+json"

    def render(self, content: Any) -> bytes:
        """ASCII, because the offending value may hold text that is not Unicode."""
        return json.dumps(content).encode("ascii")


def status_of(error: FeaturepackError) -> int:
    return next(STATUS[cls] for cls in type(error).__mro__ if cls in STATUS)


def _headers(error: FeaturepackError) -> dict[str, str] | None:
    if status_of(error) == 401:
        return {"WWW-Authenticate": 'Bearer realm="featurepack"'}  # RFC 6750
    if isinstance(error, errors.QuotaExceeded):
        return {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if isinstance(error, errors.Unreachable):
        return None
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
        "detail": short(error.message, MAX_DETAIL),
        "instance": short(request.url.path),
        "value": shown(error.value),
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
            "detail": f"{request.method} {short(request.url.path)}: {error.detail}",
            "instance": short(request.url.path),
            "value": short(request.url.path),
            "remedy": "see /docs for what can be called",
            "request_id": current().request_id,
        }
        headers = dict(error.headers or {})
        if error.status_code == 405:
            headers["Allow"] = ", ".join(_allowed(request))
        return ProblemResponse(document, error.status_code, headers)

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


def _allowed(request: Request) -> list[str]:
    """What the path can be asked by; the router names what its first route takes.

    ``/v1/packs/pin`` could be a pack's, too, and is meant to be none.
    """
    if named := request.app.openapi()["paths"].get(request.url.path):
        return [method for method in _METHODS if method.lower() in named]
    asked: Scope = {"type": "http", "path": request.url.path, "root_path": "", "headers": []}
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**asked, "method": method})[0] is Match.FULL
            for route in request.app.routes
        )
    ]


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
    body = await request.body()
    if not _JSON.match(request.headers.get("content-type", "")):
        raise errors.InvalidRequest(
            "the body is not said to be JSON",
            value=request.headers.get("content-type"),
            remedy="send it with Content-Type: application/json",
        )
    try:
        return model.model_validate_json(body)
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
