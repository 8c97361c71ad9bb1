"""One request, followed with real processes: client → service's log → worker's log and spans."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from cache.errors import CorruptData
from cache.origin import Origin
from cache.store import Store
from cache.tracing import Tracing, are_traces_wanted, open_tracing
from tests.pictures import write_image_folder
from tests.processes import ROOT, end, free_port, insist, wait_until
from tests.serving import PAIR

ABOVE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
"""A caller's span, as the recommendation's own example writes it."""


class Receiver(ThreadingHTTPServer):
    """Takes what is sent by OTLP over HTTP."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Receive)
        self.spans: list[tuple[str, Any]] = []
        """(service, span)"""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, name: str) -> Any:
        return next((span for _, span in list(self.spans) if span.name == name), None)


class _Receive(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        for part in ExportTraceServiceRequest.FromString(body).resource_spans:
            service = next(a for a in part.resource.attributes if a.key == "service.name")
            for scope in part.scope_spans:
                self.server.spans += [(service.value.string_value, span) for span in scope.spans]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not to the test's output."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def logging_to(
    log: Path, store: Store, module: str, *arguments: str, **settings: str
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m module``, its stderr in a file; ended well."""
    places = {"FEATUREPACK_STORE": str(store.root), "FEATUREPACK_DATA_ROOT": str(store.data_root)}
    env = os.environ | places | {"FEATUREPACK_LOG_FORMAT": "json"} | settings
    with log.open("wb") as stderr:
        running = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], env=env, cwd=ROOT, stderr=stderr
        )
        try:
            yield running
            end(running)
        finally:
            running.kill()
            running.wait()


def lines(log: Path) -> list[dict[str, Any]]:
    """Every line of a log is JSON, or this raises."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_request_is_followed_into_the_worker(
    store: Store, tmp_path: Path, receiver: Receiver
) -> None:
    assert store.data_root
    splits = {"train": {"a": 3, "b": 3}, "validation": {"a": 2, "b": 2}}
    write_image_folder(store.data_root / "set", splits)
    traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
    port, logs = free_port(), {name: tmp_path / f"{name}.log" for name in ("service", "worker")}
    with (
        logging_to(logs["service"], store, "service", "--port", str(port), **traces),
        logging_to(logs["worker"], store, "worker", FEATUREPACK_WORKER="north", **traces),
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=90) as http,
    ):
        insist(http, "GET", "/readyz")
        source = {"kind": "folder", "path": "set"}
        asked = {"X-Request-Id": "mine-1"}
        reply = http.post("/v1/datasets", json={"name": "set", "source": source}, headers=asked)
        assert reply.status_code == 201
        asked = {"X-Request-Id": "mine-2", "traceparent": ABOVE, "Prefer": "wait=60"}
        reply = http.post("/v1/jobs", json=PAIR, headers=asked)
        assert (reply.status_code, reply.headers["x-request-id"]) == (200, "mine-2")
        (job,) = http.get("/v1/jobs?kind=extract").json()["items"]
        wait_until(lambda: b"rows_computed_total{" in http.get("/metrics").content, 30)
        metrics = http.get("/metrics").text
        wait_until(lambda: receiver.named("job extract"), 30)
    _check_logs(logs, job["id"])
    assert 'featurepack_rows_computed_total{network="squeezenet1_1"} 10.0' in metrics
    assert 'featurepack_job_attempts_total{kind="extract",outcome="succeeded"} 1.0' in metrics
    assert 'worker_last_work_timestamp_seconds{lane="extraction",worker="north"}' in metrics
    _check_spans(receiver)


def _check_logs(logs: dict[str, Path], job_id: str) -> None:
    here = [line for line in lines(logs["service"]) if line.get("request_id") == "mine-2"]
    assert [line["message"] for line in here] == ["extract job is queued", "answered"]
    assert here[0]["job_id"] == job_id
    assert (here[1]["route"], here[1]["status"]) == ("/v1/jobs", 200)
    there = [line for line in lines(logs["worker"]) if line.get("request_id") == "mine-2"]
    assert len(there) >= 2
    for line in there:
        assert (line["job_id"], line["attempt"], line["worker"]) == (job_id, 1, "north")
    assert "claimed extract" in there[0]["message"]
    assert there[-1]["message"] == "extract job succeeded"
    assert any(line.get("request_id") == "mine-1" for line in lines(logs["worker"]))


def _check_spans(receiver: Receiver) -> None:
    request, job = receiver.named("POST /v1/jobs"), receiver.named("job extract")
    _, trace, parent, _ = ABOVE.split("-")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (trace, parent)
    (link,) = job.links
    assert (link.trace_id, link.span_id) == (request.trace_id, request.span_id)
    assert job.trace_id != request.trace_id
    attributes = {each.key: each.value.string_value for each in job.attributes}
    assert attributes["job.request_id"] == "mine-2"
    services = {service for service, _ in receiver.spans}
    assert services == {"featurepack-service", "featurepack-worker"}


def test_a_span_tells_what_it_was_about() -> None:
    told = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(told))
    tracing = Tracing(provider)
    span, traceparent = tracing.begin_request("GET", "nonsense")
    tracing.end_request(span, "GET", "/v1/packs/{pack_id}", 500)
    with tracing.job("head", Origin("r", traceparent, "j", 2, "w")):
        tracing.fail(CorruptData("broken"))
    with tracing.job("head", Origin()):
        pass
    tracing.close()
    request, failed, unasked = told.get_finished_spans()
    assert (request.name, request.parent) == ("GET /v1/packs/{pack_id}", None)
    assert request.attributes["http.response.status_code"] == 500
    assert not request.status.is_ok
    assert failed.links[0].context.span_id == request.context.span_id
    assert failed.attributes["error.type"] == "corrupt-data"
    assert not unasked.links


def test_without_an_endpoint_nothing_is_imported() -> None:
    assert not are_traces_wanted({})
    assert not are_traces_wanted({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"})
    assert are_traces_wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "x"})
    code = (
        "import sys; from cache.tracing import open_tracing; import service.app; "
        "assert open_tracing('x', False) is None; "
        "sys.exit('opentelemetry.sdk' in sys.modules or 'opentelemetry.exporter' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_traces_that_are_not_installed_are_only_missed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert open_tracing("x", True) is None
    assert "featurepack[otel]" in caplog.text
