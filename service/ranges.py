"""``Range`` and ``If-…`` headers, as RFC 9110 reads them."""

from __future__ import annotations

import re

from cache.errors import OutOfRange

Span = tuple[int, int]
"""First byte and the one after the last."""

_SPEC = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)
_TAG = re.compile(r'(?:W/)?("[^"]*")')


def wanted_span(header: str | None, size: int) -> Span | None:
    """The bytes of a file of this size that a ``Range`` header asks for; None: the whole file.

    Whatever is malformed, or of another unit than bytes, is ignored. Of several ranges the one
    that the file has is sent; where it has more of them, the whole file is.

    Raises:
        OutOfRange: the file has none of the ranges.
    """
    unit, given, ranges = (header or "").partition("=")
    if not given or unit.lower() != "bytes":
        return None
    specs = [spec.strip(" \t") for spec in ranges.split(",")]
    parsed = [_parsed(spec, size) for spec in specs if spec]
    if not parsed or None in parsed:
        return None
    there = [span for span in parsed if span and span[0] < span[1]]
    if not there:
        raise OutOfRange(
            f"the file has {size} bytes", value=header, remedy=f"ask for bytes 0 to {size - 1}"
        )
    return there[0] if len(there) == 1 else None


def _parsed(spec: str, size: int) -> Span | None:
    """One range, cut to the file and perhaps empty; None where it is malformed."""
    found = _SPEC.fullmatch(spec)
    if found is None or spec == "-":
        return None
    first, last = (_number(digits) for digits in found.groups())
    if first is None:
        return max(0, size - (last or 0)), size
    if last is not None and last < first:
        return None
    return first, size if last is None else min(size, last + 1)


def _number(digits: str) -> int | None:
    """Beyond 18 digits every number is as large as any other."""
    digits = digits.lstrip("0") or digits[:1]
    if not digits:
        return None
    return int(digits) if len(digits) < 19 else 10**18


def is_known(if_none_match: str | None, etag: str) -> bool:
    """Whether ``If-None-Match`` names the tag, by the weak comparison."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == "*" or etag in _TAG.findall(if_none_match)


def range_holds(if_range: str | None, etag: str) -> bool:
    """Whether ``If-Range`` lets a range be sent: by the strong comparison, so no date does."""
    return if_range is None or if_range.strip() == etag
