"""Spans for OpenTelemetry, where it is installed (the extra ``otel``) and told where to send them.

Without that nothing is imported and nothing is done. A request's span continues the caller's trace
(``traceparent``); a job's span begins a trace of its own, because the job may begin hours later and
more than one request may want it, and is linked to the span of the request that queued it
(https://opentelemetry.io/docs/specs/otel/overview/#links-between-spans).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cache.errors import FeaturepackError
from cache.origin import Origin

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = logging.getLogger("featurepack.cache")

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def are_traces_wanted(env: Mapping[str, str]) -> bool:
    """As OpenTelemetry's variables say: there is an endpoint, and the SDK is not disabled.

    https://opentelemetry.io/docs/specs/otel/protocol/exporter/
    """
    disabled = env.get("OTEL_SDK_DISABLED", "").lower() == "true"
    return not disabled and any(env.get(name) for name in ENDPOINTS)


class Tracing:
    """Makes spans. To be closed at the end, so that the last ones are sent."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("featurepack")
        self._propagator = TraceContextTextMapPropagator()

    def begin_request(self, method: str, traceparent: str) -> tuple[Span, str]:
        """A span within the caller's trace, if there is one; and its own ``traceparent``."""
        from opentelemetry.trace import SpanKind, set_span_in_context

        above = self._propagator.extract({"traceparent": traceparent})
        span = self._tracer.start_span(method, above, SpanKind.SERVER)
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier, set_span_in_context(span))
        return span, carrier["traceparent"]

    def end_request(self, span: Span, method: str, route: str, status: int) -> None:
        """Named and described as the conventions for HTTP say.

        https://opentelemetry.io/docs/specs/semconv/http/http-spans/
        """
        from opentelemetry.trace import StatusCode

        span.update_name(f"{method} {route}")
        span.set_attribute("http.request.method", method)
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end()

    @contextmanager
    def job(self, kind: str, origin: Origin) -> Iterator[None]:
        """A span around the work on a job."""
        from opentelemetry.trace import Link, SpanKind, get_current_span

        above = self._propagator.extract({"traceparent": origin.traceparent})
        asked = get_current_span(above).get_span_context()
        with self._tracer.start_as_current_span(
            f"job {kind}",
            kind=SpanKind.CONSUMER,
            links=[Link(asked)] if asked.is_valid else [],
            attributes={"job.kind": kind} | {f"job.{k}": str(v) for k, v in origin.told().items()},
        ):
            yield

    def fail(self, error: FeaturepackError) -> None:
        """The job of the span around this ended with an error."""
        from opentelemetry.trace import StatusCode, get_current_span

        span = get_current_span()
        span.set_status(StatusCode.ERROR, error.message)
        span.set_attribute("error.type", error.kind)

    def close(self) -> None:
        """Send what is left."""
        self._provider.shutdown()


def open_tracing(service: str, is_wanted: bool) -> Tracing | None:
    """None where it is not wanted, or not installed."""
    if not is_wanted:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning("traces are wanted, but not installed: pip install 'featurepack[otel]'")
        return None
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(provider)
