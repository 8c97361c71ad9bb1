"""HTTP: one call, again if that is safe, and its problem as an exception.

A call is tried again after 429, 503 and broken connections, if repeating it cannot do harm: the
pauses double, are drawn at random (so that many clients do not return together) and are never
shorter than what ``Retry-After`` asks for.
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
    from_problem,
)

RETRIED_STATUS: Final = (429, 503)
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

    def pause(self, attempt: int, asked: str | None = None) -> None:
        """Wait before repeating for the ``attempt``-th time (from 0); ``asked`` is Retry-After."""
        longest = min(self.first_pause * 2**attempt, LONGEST_PAUSE)
        drawn = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        least = float(asked) if asked is not None and asked.isdecimal() else 0.0
        self.sleep(min(max(drawn, least), LONGEST_PAUSE))


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

    def call(self, method: str, path: str, *, again: bool, **options: Any) -> httpx.Response:
        """The whole answer. ``again``: repeating the call does no harm.

        Raises:
            FeaturepackError: the problem that the service answered.
            ConnectionFailed: it did not answer.
        """
        return self._tried(
            lambda: self.http.request(method, self.base + path, **options),
            again=again,
            gone_is_good=method == "DELETE",
        )

    def json(self, method: str, path: str, *, again: bool, **options: Any) -> Any:
        """The answer's JSON. Raises as :meth:`call`, and FeaturepackError if it is not JSON."""
        response = self.call(method, path, again=again, **options)
        try:
            return response.json()
        except ValueError as error:
            raise FeaturepackError(
                f"{response.url} answered something that is no JSON",
                value=response.headers.get("content-type"),
                remedy="check that the address is a Featurepack service's",
                status=response.status_code,
            ) from error

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
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:
        """An answer whose body has not been read. Only for calls that may be repeated.

        Raises:
            FeaturepackError, ConnectionFailed: as :meth:`call`; a connection that breaks while
            the body is read raises one of :data:`BROKEN` where it is read.
        """
        request = self.http.build_request(method, self.base + path, **options)
        request.headers["Accept-Encoding"] = "identity"
        response = self._tried(lambda: self.http.send(request, stream=True), again=True)
        try:
            yield response
        finally:
            response.close()

    def _tried(
        self, send: Callable[[], httpx.Response], *, again: bool, gone_is_good: bool = False
    ) -> httpx.Response:
        attempt = 0
        while True:
            asked = None
            try:
                response = send()
                if response.is_success or (
                    attempt and gone_is_good and response.status_code == 404
                ):
                    return response
                response.read()
                failure = problem_of(response)
                asked = response.headers.get("Retry-After")
                repeat = response.status_code in RETRIED_STATUS
            except BROKEN as error:
                failure, repeat = (
                    self.broken(error),
                    not isinstance(error, httpx.UnsupportedProtocol),
                )
            if not (again and repeat) or attempt >= self.retry.times:
                raise failure
            self.retry.pause(attempt, asked)
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
    return from_problem(document, response.status_code)
