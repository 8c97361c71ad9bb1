"""What the service itself counts and times, as Prometheus wants it. docs/observing.md lists all.

Children are bound once for each route, method and status: a small slice is answered in a third of
a millisecond, of which looking them up by label would be a part.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

# They are a third of all series, and the text format has no use for them.
disable_created_metrics()  # type: ignore[no-untyped-call]

REQUEST_SECONDS: Final = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0),
)
STATEMENT_SECONDS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OTHER: Final = "other"
"""A method or path that is none of ours: labels must be few, whatever is sent."""

REFUSED: Final = 429


class Metrics:
    """One for each application. ``in_flight`` is to be changed on the event loop only."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=False)
        self.in_flight = 0
        self._seconds = Histogram(
            "featurepack_http_request_seconds",
            "Seconds until a request's last byte was sent",
            ("method", "route", "status"),
            buckets=REQUEST_SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "featurepack_http_refused",
            "Requests answered 429",
            ("route",),
            registry=self.registry,
        )
        self.problems = Counter(
            "featurepack_problems",
            "Error answers, by kind of problem",
            ("type",),
            registry=self.registry,
        )
        self.database_seconds = Histogram(
            "featurepack_database_seconds",
            "Seconds until the database answered a statement of the service",
            buckets=STATEMENT_SECONDS,
            registry=self.registry,
        )
        Gauge(
            "featurepack_http_requests_in_flight",
            "Requests that are being answered",
            registry=self.registry,
        ).set_function(lambda: self.in_flight)
        ProcessCollector(registry=self.registry)
        self._bound: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request has ended."""
        key = method, route, status
        bound = self._bound.get(key) or self._bind(key)
        bound.observe(seconds)
        if status == REFUSED:
            self._refused.labels(route).inc()

    def _bind(self, key: tuple[str, str, int]) -> Histogram:
        method, route, status = key
        method = method if method in METHODS else OTHER
        bound = self._seconds.labels(method, route, f"{status // 100}xx")
        if method != OTHER:  # what is made up by callers is not kept
            self._bound[key] = bound
        return bound
