"""Spans reach a collector; the shop does not notice one that is down, slow or full."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from chassis import metrics, otlp, tracing
from chassis.otlp import Exporter
from chassis.tracing import Span


class Collector(ThreadingHTTPServer):
    """Stands for a collector, another company's program: what it received, and how it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.status = 200
        self.released = threading.Event()
        self.released.set()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def spans(self) -> list[dict[str, Any]]:
        return [
            span
            for body in self.bodies
            for resource in body["resourceSpans"]
            for scope in resource["scopeSpans"]
            for span in scope["spans"]
        ]


class Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.released.wait(10)
        if self.server.status == 200:
            assert (self.path, self.headers["Content-Type"]) == ("/v1/traces", "application/json")
            self.server.bodies.append(body)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.released.set()
        server.shutdown()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "GATHER", 0.01)
    monkeypatch.setattr(otlp, "PAUSES", (0.05, 0.05))


@pytest.fixture
def exporter(collector: Collector) -> Iterator[Exporter]:
    exporter = Exporter(collector.url, "lamps", "lamps-1")
    tracing.export_to(exporter, 1)
    yield exporter
    tracing.export_to(None, 0)
    exporter.close()


def dropped() -> float:
    return metrics.dropped_spans._value.get()


def wait(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_a_span_arrives_as_otlp(collector: Collector, exporter: Exporter):
    with (
        Span("request", tracing.SERVER, None) as parent,
        Span("SELECT lamps", tracing.CLIENT, parent, {"a": 1}) as child,
    ):
        child.set("b", True)
        child.fail("timeout")

    wait(lambda: len(collector.spans) == 2)
    inner, outer = collector.spans
    assert (inner["traceId"], inner["parentSpanId"]) == (outer["traceId"], outer["spanId"])
    assert (inner["name"], inner["kind"], inner["status"]) == ("SELECT lamps", 3, {"code": 2})
    assert {"key": "b", "value": {"boolValue": True}} in inner["attributes"]
    assert outer["status"] == {}
    assert int(outer["startTimeUnixNano"]) <= int(inner["startTimeUnixNano"]) <= int(inner["endTimeUnixNano"])
    resource = collector.bodies[0]["resourceSpans"][0]["resource"]["attributes"]
    assert {"key": "service.name", "value": {"stringValue": "lamps"}} in resource


def test_a_collector_that_refuses_loses_spans_which_are_counted_and_then_gets_new_ones(
    collector: Collector, exporter: Exporter
):
    before = dropped()
    collector.status = 503
    Span("lost", tracing.SERVER, None).finish()
    wait(lambda: dropped() == before + 1)

    collector.status = 200
    Span("kept", tracing.SERVER, None).finish()

    wait(lambda: [span["name"] for span in collector.spans] == ["kept"])


def test_a_collector_that_hangs_fills_the_buffer_and_no_request_waits(
    collector: Collector, exporter: Exporter, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(otlp, "BUFFER", 10)
    collector.released.clear()
    before = dropped()

    for _ in range(600):
        Span("request", tracing.SERVER, None).finish()

    assert dropped() - before >= 580  # 10 may be on their way, and 10 wait
    assert len(exporter._waiting) <= 10


def test_a_collector_that_is_down_costs_its_spans_only():
    with Collector() as gone:
        url = gone.url
    exporter = Exporter(url, "lamps", "lamps-1")
    before = dropped()

    exporter.add(Span("request", tracing.SERVER, None))

    wait(lambda: dropped() == before + 1)
    exporter.close()


def test_what_is_left_is_sent_when_the_process_ends(collector: Collector, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(otlp, "GATHER", 60)
    exporter = Exporter(collector.url, "lamps", "lamps-1")
    exporter.add(Span("last", tracing.SERVER, None))

    exporter.close()

    assert [span["name"] for span in collector.spans] == ["last"]


@pytest.mark.parametrize("endpoint", ["http://jaeger:4318x", "http://jaeger:99999", "http://:4318", "jaeger:4318", ""])
def test_an_endpoint_that_is_no_url_is_refused(endpoint: str):
    with pytest.raises(ValueError, match="must look like http://host:4318"):
        Exporter(endpoint, "lamps", "lamps-1")


def test_a_span_that_cannot_be_encoded_is_counted_and_stops_nothing(collector: Collector, exporter: Exporter):
    before = dropped()
    Span("odd", tracing.SERVER, None, {"a": object()}).finish()  # type: ignore[dict-item]
    wait(lambda: dropped() == before + 1)

    Span("good", tracing.SERVER, None).finish()

    wait(lambda: [span["name"] for span in collector.spans] == ["good"])
