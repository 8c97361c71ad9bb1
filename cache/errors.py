"""The errors of Featurepack, drawn once.

    FeaturepackError
    ├── NotFound        (LookupError)  a name or id that nothing answers to
    ├── Conflict                       the request is right, the present state forbids it
    ├── InvalidRequest  (ValueError)   a value that can never be right
    │   └── OutOfRange                 bytes that the file does not have
    ├── TooLarge        (ValueError)   beyond a stated limit
    ├── Unauthorised                   no key, or an unknown one
    │   └── Forbidden                  a known key without the needed right
    ├── QuotaExceeded                  a team's allowance is used up; it comes back
    ├── StorageFull                    a team stores as much as it may
    ├── Busy                           as much is under way as may be; try again soon
    ├── CorruptData                    bytes that do not match their hash or format
    ├── LeaseLost                      another worker owns the job now
    └── Unavailable                    something that should answer does not; try again
        └── Unreachable                something outside that trying again alone will not bring

Each error says what was wrong, which value it was, and what to do about it. One table in
``service/problems.py`` turns classes into HTTP; nothing else knows about status codes.
"""

from __future__ import annotations

from typing import Any, ClassVar


class FeaturepackError(Exception):
    """Base of all errors that a user may see.

    ``message`` says what is wrong, ``value`` is the offending value, ``remedy`` says what to do.
    """

    kind: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(self, message: str, *, value: Any = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.value = value
        self.remedy = remedy

    def as_dict(self) -> dict[str, Any]:
        """The error as plain values, as it is kept with a failed job."""
        return {
            "kind": self.kind,
            "title": self.title,
            "detail": self.message,
            "value": self.value,
            "remedy": self.remedy,
        }


class NotFound(FeaturepackError, LookupError):
    kind = "not-found"
    title = "Not found"


class Conflict(FeaturepackError):
    kind = "conflict"
    title = "Conflict with the present state"


class InvalidRequest(FeaturepackError, ValueError):
    kind = "invalid-request"
    title = "Invalid request"


class OutOfRange(InvalidRequest):
    kind = "out-of-range"
    title = "Bytes beyond the file"


class TooLarge(FeaturepackError, ValueError):
    kind = "too-large"
    title = "Beyond a limit"


class Unauthorised(FeaturepackError):
    kind = "unauthorised"
    title = "A valid key is needed"


class Forbidden(Unauthorised):
    kind = "forbidden"
    title = "The key does not allow this"


class QuotaExceeded(FeaturepackError):
    """``retry_after`` is in seconds."""

    kind = "quota-exceeded"
    title = "Quota used up"

    def __init__(
        self, message: str, *, value: Any = None, remedy: str = "", retry_after: float = 5.0
    ) -> None:
        super().__init__(message, value=value, remedy=remedy)
        self.retry_after = retry_after


class StorageFull(FeaturepackError):
    kind = "storage-full"
    title = "Storage used up"


class Busy(FeaturepackError):
    kind = "busy"
    title = "Too much at once"


class CorruptData(FeaturepackError):
    kind = "corrupt-data"
    title = "Data does not match its hash or format"


class LeaseLost(FeaturepackError):
    kind = "lease-lost"
    title = "Another worker owns the job now"


class Unavailable(FeaturepackError):
    kind = "unavailable"
    title = "Temporarily unavailable"


class Unreachable(Unavailable):
    kind = "unreachable"
    title = "Out of reach"


def _tree(root: type[FeaturepackError]) -> dict[str, type[FeaturepackError]]:
    found = {root.kind: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


def from_dict(error: dict[str, Any]) -> FeaturepackError:
    """The inverse of :meth:`FeaturepackError.as_dict`."""
    cls = _tree(FeaturepackError).get(error.get("kind", ""), FeaturepackError)
    return cls(error["detail"], value=error.get("value"), remedy=error.get("remedy", ""))
