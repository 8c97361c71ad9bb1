"""What can go wrong, drawn once. Every error says what is wrong, which value, and what to do.

FeaturepackError
├── NotFound          (LookupError)      a name or id that nothing answers to
├── Conflict                             right, but the present state forbids it
│   └── JobCancelled                     the job that was waited for was cancelled
├── InvalidRequest    (ValueError)       a value that can never be right
├── TooLarge          (ValueError)       beyond a limit of the service
├── Unauthorised      (PermissionError)  no key, or an unknown one
│   └── Forbidden                        a known key without the needed right
├── QuotaExceeded                        an allowance is used up; it comes back
├── StorageFull                          the team stores as much as it may
├── DiskFull          (OSError)          no room on this machine's disk
├── CorruptData                          bytes that do not match their hash or format
└── Unavailable                          something that should answer does not; try again
    ├── ConnectionFailed (ConnectionError)  the service did not answer at all
    └── TimedOut         (TimeoutError)     the job did not end in the time that was given
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final


class FeaturepackError(Exception):
    """Base of all errors of this package.

    ``detail`` says what is wrong, ``value`` is the offending value, ``remedy`` says what to do,
    ``status`` is the HTTP status if the service answered with one, ``retry_after`` the seconds
    after which it says to try again.
    """

    retry_after: float | None = None

    def __init__(
        self, detail: str, *, value: Any = None, remedy: str = "", status: int | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.value = value
        self.remedy = remedy
        self.status = status


class NotFound(FeaturepackError, LookupError):
    """A name or id that nothing answers to."""


class Conflict(FeaturepackError):
    """The request is right, the present state forbids it."""


class JobCancelled(Conflict):
    """The job was cancelled before it had a result; ``value`` is its id."""


class InvalidRequest(FeaturepackError, ValueError):
    """A value that can never be right."""


class TooLarge(FeaturepackError, ValueError):
    """Beyond a limit that the service states."""


class Unauthorised(FeaturepackError, PermissionError):
    """No key, or an unknown one."""


class Forbidden(Unauthorised):
    """A known key without the needed right."""


class QuotaExceeded(FeaturepackError):
    """An allowance is used up; it comes back."""


class StorageFull(FeaturepackError):
    """The team stores as much as it may."""


class DiskFull(FeaturepackError, OSError):
    """No room on the disk of this machine."""


class CorruptData(FeaturepackError):
    """Bytes that do not match their hash or format."""


class Unavailable(FeaturepackError):
    """Something that should answer does not; the same call may succeed later."""


class ConnectionFailed(Unavailable, ConnectionError):
    """The service did not answer, or stopped in the middle of an answer."""


class TimedOut(Unavailable, TimeoutError):
    """A job did not end in the time that was given; it goes on. ``value`` is its id."""


TYPE_PREFIX: Final = "urn:featurepack:problem:"

_BY_KIND: Final[Mapping[str, type[FeaturepackError]]] = {
    "not-found": NotFound,
    "conflict": Conflict,
    "invalid-request": InvalidRequest,
    "out-of-range": InvalidRequest,
    "too-large": TooLarge,
    "unauthorised": Unauthorised,
    "forbidden": Forbidden,
    "quota-exceeded": QuotaExceeded,
    "storage-full": StorageFull,
    "busy": Unavailable,
    "corrupt-data": CorruptData,
    "lease-lost": Conflict,
    "unavailable": Unavailable,
    "unreachable": Unavailable,
}

_BY_STATUS: Final[Mapping[int, type[FeaturepackError]]] = {
    400: InvalidRequest,
    401: Unauthorised,
    403: Forbidden,
    404: NotFound,
    405: InvalidRequest,
    409: Conflict,
    413: TooLarge,
    416: InvalidRequest,
    422: InvalidRequest,
    429: QuotaExceeded,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
    507: StorageFull,
}


def from_problem(problem: Mapping[str, Any], status: int | None = None) -> FeaturepackError:
    """The error that a problem document (RFC 9457) or a job's ``error`` tells of.

    Its class follows from the document's ``type`` or ``kind``; where both say nothing, from the
    status.
    """
    kind = str(problem.get("kind") or problem.get("type", "")).removeprefix(TYPE_PREFIX)
    cls = _BY_KIND.get(kind) or _BY_STATUS.get(status or 0, FeaturepackError)
    return cls(
        str(problem.get("detail") or problem.get("title") or "the service reports an error"),
        value=problem.get("value"),
        remedy=str(problem.get("remedy") or ""),
        status=status,
    )
