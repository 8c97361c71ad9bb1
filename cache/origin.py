"""What is being done just now, and for whom: the request, the job, the worker.

Kept beside the code that runs (a context variable), so that a log line, a problem or a new row of
the queue can say where it comes from without every function passing it on. Threads that are started
by hand do not take it over: :func:`as_now` does that for them.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple


class Origin(NamedTuple):
    """Empty where it is not known.

    ``request_id`` is what the client or the service called the request; ``traceparent`` its span as
    W3C Trace Context writes it (https://www.w3.org/TR/trace-context/#traceparent-header).
    """

    request_id: str = ""
    traceparent: str = ""
    job_id: str = ""
    attempt: int = 0
    worker: str = ""

    def told(self) -> dict[str, object]:
        """What is known of it, for a log line; the trace is for other eyes."""
        found = self._asdict()
        del found["traceparent"]
        return {name: value for name, value in found.items() if value}


_NOBODY = Origin()
_origin: contextvars.ContextVar[Origin] = contextvars.ContextVar("origin", default=_NOBODY)

current: Callable[[], Origin] = _origin.get
"""The origin of whatever calls it."""

begin: Callable[[Origin], object] = _origin.set
"""From now on, in this task or thread, until it ends: for a server, which has one for each."""


@contextmanager
def doing(origin: Origin) -> Iterator[None]:
    """While the block runs; afterwards what was before."""
    token = _origin.set(origin)
    try:
        yield
    finally:
        _origin.reset(token)


def as_now(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, to run in another thread with the origin of now."""
    context = contextvars.copy_context()
    return lambda *arguments: context.run(function, *arguments)
