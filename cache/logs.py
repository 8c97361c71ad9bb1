"""What the processes log: one line each to stderr, as text for people or as JSON for machines.

Every line says which request, job, attempt and worker it is about (:mod:`cache.origin`). A log call
gives further fields as ``extra={"fields": {…}}``. The standard library's formatter, because all
that a library would add to it is here: the fields, and that a line stays one line.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, cast, get_args

from cache.errors import InvalidRequest
from cache.origin import current

LogFormat = Literal["text", "json"]

TEXT: Final = "%(asctime)s %(name)s %(levelname)s %(message)s"


def log_format(env: Mapping[str, str]) -> LogFormat:
    """``FEATUREPACK_LOG_FORMAT``, for both settings. Raises InvalidRequest."""
    given = env.get("FEATUREPACK_LOG_FORMAT") or "text"
    if given not in get_args(LogFormat):
        raise InvalidRequest(
            f"FEATUREPACK_LOG_FORMAT is {given!r}", value=given, remedy="give text or json"
        )
    return cast("LogFormat", given)


def log_to_stderr(format: LogFormat) -> None:
    """From now on, everything from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if format == "json" else TextLines(TEXT))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("alembic").setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """``{"time", "level", "logger", "message", …}``; time is UTC, an exception is one field."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {
            "time": time,
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= current().told()
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    """The line, and in brackets where it comes from."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        told = " ".join(f"{name}={value}" for name, value in current().told().items())
        first, newline, rest = line.partition("\n")
        return f"{first} [{told}]{newline}{rest}" if told else line
