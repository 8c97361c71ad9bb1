"""HTTP: one call, again if that is safe, and its problem as an exception.

A call is tried again after a passing failure (a broken connection, 429, 502, 503, 504), if
repeating it cannot do harm: the pauses double, are drawn at random (so that many clients do not
return together) and are never shorter than what ``Retry-After`` asks for.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import httpx

from featurepack.errors import (
    ConnectionFailed,
    FeaturepackError,
    InvalidRequest,
    Unavailable,
    from_problem,
)

TOO_MANY_REQUESTS: Final = 429
LONGEST_PAUSE: Final = 30.0
PAGE: Final = 500
BROKEN: Final = (httpx.TransportError, httpx.DecodingError)
"""What httpx raises when a connection cannot be made or breaks."""


@dataclass(frozen=True)
class Retry:
    """How often and how patiently; ``sleep`` is replaced in tests."""

    times: int = 4
    first_pause: float = 0.25
    sleep: Callable[[float], None] = time.sleep

    def pause(self, attempt: int, asked: float | None = None, most: float = LONGEST_PAUSE) -> None:
        """Wait before repeating for the ``attempt``-th time (from 0), at most ``most`` seconds.

        ``asked`` is Retry-After.
        """
        longest = min(self.first_pause * 2 ** min(attempt, 30), LONGEST_PAUSE)
        drawn = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        self.sleep(max(0.0, min(max(drawn, asked or 0.0), LONGEST_PAUSE, most)))


class Transport:
    """Calls below one address. ``base`` is put before paths if ``http`` has no base URL."""

    def __init__(self, http: httpx.Client, base: str = "", retry: Retry | None = None) -> None:
        self.http = http
        self.base = base.rstrip("/")
        self.retry = retry or Retry()

    @property
    def longest_wait(self) -> int:
        """Whole seconds that an answer may take without our giving up on it."""
        read = self.http.timeout.read
        return 20 if read is None else max(1, min(20, int(read / 2)))

    def call(
        self, method: str, path: str, *, again: bool, done: int | None = None, **options: Any
    ) -> httpx.Response:
        """The whole answer. ``again``: repeating the call does no harm.

        ``done`` is the status by which a repetition learns that the first try, whose answer was
        lost, has done it all; such an answer is returned.

        Raises:
            FeaturepackError: the problem that the service answered.
            ConnectionFailed: it did not answer.
        """
        return self._tried(
            lambda: self.http.request(method, self.base + path, **options),
            again=again,
            done=done,
        )

    def json(self, method: str, path: str, *, again: bool, **options: Any) -> Any:
        """The answer's JSON. Raises as :meth:`call`, and FeaturepackError if it is not JSON."""
        return json_of(self.call(method, path, again=again, **options))

    def items(self, path: str, limit: int | None = None, **filters: Any) -> Iterator[Any]:
        """Items of a list, over all its pages or until there are ``limit``."""
        params = {name: value for name, value in filters.items() if value is not None}
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            page = self.json("GET", path, again=True, params=params | {"limit": size})
            yield from page["items"][:left]
            if left is not None:
                left -= len(page["items"])
            if page["next_cursor"] is None:
                return
            params["cursor"] = page["next_cursor"]

    @contextmanager
    def stream(
        self, method: str, path: str, *, again: bool = True, **options: Any
    ) -> Iterator[httpx.Response]:
        """An answer whose body has not been read. Only for calls that may be repeated.

        With ``again=False`` repeating is left to the caller.

        Raises:
            FeaturepackError, ConnectionFailed: as :meth:`call`; a connection that breaks while
            the body is read raises one of :data:`BROKEN` where it is read.
        """
        request = self.http.build_request(method, self.base + path, **options)
        request.headers["Accept-Encoding"] = "identity"
        response = self._tried(lambda: self.http.send(request, stream=True), again=again)
        try:
            yield response
        finally:
            response.close()

    def persist(
        self, read: Callable[[], None], *, done: Callable[[], int], complete: Callable[[], bool]
    ) -> None:
        """Call ``read``, which reads the rest of a body, until the body is ``complete``.

        Connections may break as often as they like, if ``done`` says that something came.

        Raises:
            FeaturepackError, ConnectionFailed: as :meth:`call`, or they broke too often.
        """
        failures = 0
        while not complete():
            before = done()
            error: Exception = httpx.ReadError("the answer ended early")
            try:
                read()
            except BROKEN as broken:
                error = broken
            if complete():
                return
            failures = 0 if done() > before else failures + 1
            if failures > self.retry.times:
                raise self.broken(error)
            self.retry.pause(failures)

    def _tried(
        self, send: Callable[[], httpx.Response], *, again: bool, done: int | None = None
    ) -> httpx.Response:
        attempt = 0
        while True:
            failure: FeaturepackError
            try:
                response = send()
                if response.is_success or (attempt and response.status_code == done):
                    return response
                response.read()
                failure = problem_of(response)
            except BROKEN as error:
                failure = self.broken(error)
            if not (again and may_pass(failure)) or attempt >= self.retry.times:
                raise failure
            self.retry.pause(attempt, failure.retry_after)
            attempt += 1

    def broken(self, error: Exception) -> ConnectionFailed:
        """The error to raise for one of :data:`BROKEN`."""
        where = self.base or str(self.http.base_url).rstrip("/")
        what = "did not answer in time" if isinstance(error, httpx.TimeoutException) else str(error)
        failure = ConnectionFailed(
            f"no answer from {where}: {what or type(error).__name__}",
            value=where,
            remedy="check the address and that the service runs (featurepack serve)",
        )
        failure.__cause__ = error
        return failure


def may_pass(failure: FeaturepackError) -> bool:
    """Whether the same call may succeed a little later."""
    if isinstance(failure.__cause__, httpx.UnsupportedProtocol):
        return False
    return isinstance(failure, Unavailable) or failure.status == TOO_MANY_REQUESTS


def json_of(response: httpx.Response) -> Any:
    """An answer's JSON. Raises FeaturepackError if it is none."""
    try:
        return response.json()
    except ValueError as error:
        raise unexpected(response, "no JSON") from error


def unexpected(response: httpx.Response, what: str) -> FeaturepackError:
    """The error of an answer that is ``what`` ("no JSON") in place of what was asked for."""
    return FeaturepackError(
        f"{response.url} answered something that is {what}",
        value=response.headers.get("content-type"),
        remedy="check that the address is a Featurepack service's",
        status=response.status_code,
    )


def segment(name: str, safe: str = "") -> str:
    """A name or id as one segment of a path. Raises InvalidRequest for one that cannot be."""
    if name in ("", ".", ".."):
        raise InvalidRequest(
            f"{name!r} is no name and no id", value=name, remedy="give one that a list shows"
        )
    return quote(name, safe=safe)


def problem_of(response: httpx.Response) -> FeaturepackError:
    """The error of an answer that is no success; its body has been read."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict) or "detail" not in document:
        reason = f"{response.status_code} {response.reason_phrase}".strip()
        document = {"detail": f"{response.request.method} {response.url.path}: {reason}"}
    failure = from_problem(document, response.status_code)
    asked = response.headers.get("Retry-After", "")
    failure.retry_after = float(asked) if asked.isdecimal() else None
    return failure
