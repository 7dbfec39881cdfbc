"""A trace continues through the outbox and the broker; logs are JSON; metrics have the conventions' names."""

import json
import logging
import re
from collections.abc import Iterator

import httpx2
import pytest
from fastapi import APIRouter
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from chassis import outbox, telemetry
from chassis.app import create_app
from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event, Message
from chassis.messaging import Consumer, handles
from chassis.relay import Relay
from chassis.settings import ServiceSettings


class Lit(Message):
    type = "lamps.lit.v1"
    consumers = ("lamps",)
    watts: int


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """A process can set its tracer provider only once, so this one stays."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    exporter.clear()
    monkeypatch.setattr(telemetry, "_tracing", True)
    return exporter


async def test_a_consumers_span_is_linked_to_the_request_that_caused_its_event(
    spans: InMemorySpanExporter, db: Database, topology, eventually
):
    seen: list[Event[Lit]] = []

    async def handler(events: list[Event[Lit]]) -> None:
        seen.extend(events)

    with trace.get_tracer("test").start_as_current_span("request") as request:
        async with db.transaction() as tx:
            await outbox.put(tx, [(uuid7(), Lit(watts=7))])
    async with (
        Relay(db, topology.url, "lamps", [Lit]),
        Consumer(topology.url, topology.queue, [handles(Lit, handler)]),
    ):
        await eventually(lambda: "process lamps.lit.v1" in {span.name for span in spans.get_finished_spans()})

    consumed = next(span for span in spans.get_finished_spans() if span.name == "process lamps.lit.v1")
    assert [link.context.trace_id for link in consumed.links] == [request.get_span_context().trace_id]
    assert [link.context.span_id for link in consumed.links] == [request.get_span_context().span_id]
    assert consumed.kind is trace.SpanKind.CONSUMER
    assert trace.format_trace_id(request.get_span_context().trace_id) in str(seen[0].traceparent)


async def request(path: str, *, headers: dict[str, str] | None = None) -> httpx2.Response:
    router = APIRouter()

    @router.get("/lamps/{name}")
    async def find(name: str) -> str:
        return {"desk": telemetry.traceparent() or ""}[name]

    app = create_app(ServiceSettings(log_sample_ratio=0), "lamps", title="Lamps", routers=[router])
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lamps") as client:
        return await client.get(path, headers=headers)


async def test_a_request_joins_its_callers_trace_under_its_routes_name(spans: InMemorySpanExporter):
    caller = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    response = await request("/lamps/desk", headers={"traceparent": caller})

    (span,) = spans.get_finished_spans()
    assert span.name == "GET /lamps/{name}"
    assert trace.format_trace_id(span.context.trace_id) == "0af7651916cd43dd8448eb211c80319c"
    assert span.parent is not None
    assert trace.format_span_id(span.parent.span_id) == "b7ad6b7169203331"
    assert trace.format_span_id(span.context.span_id) in response.json()


async def test_without_an_endpoint_nothing_is_traced():
    assert (await request("/lamps/desk")).json() == ""


def test_every_log_line_is_one_json_object():
    record = logging.LogRecord("lamps", logging.WARNING, "", 0, "two\nlines of %s \ud800", ("light",), None)
    record.fields = {"watts": 7, "id": uuid7()}

    line = telemetry.JsonFormatter().format(record)

    assert "\n" not in line
    document = json.loads(line)
    assert (document["level"], document["logger"], document["watts"]) == ("warning", "lamps", 7)
    assert document["message"].startswith("two\nlines of light")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document["time"])


def test_a_log_line_names_its_trace(spans: InMemorySpanExporter):
    record = logging.LogRecord("lamps", logging.INFO, "", 0, "lit", (), None)

    with trace.get_tracer("test").start_as_current_span("request") as span:
        line = telemetry.JsonFormatter().format(record)

    assert json.loads(line)["trace_id"] == trace.format_trace_id(span.get_span_context().trace_id)


async def test_a_failure_is_logged_with_its_route_and_status(capfd: pytest.CaptureFixture[str]):
    await request("/lamps/none")

    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (line,) = (line for line in lines if line["logger"] == "access")
    assert (line["method"], line["route"], line["status"]) == ("GET", "/lamps/{name}", 500)


async def test_metrics_have_the_conventions_names_and_one_series_per_route():
    for path in ("/lamps/desk", "/lamps/none", "/chairs/1", "/chairs/2"):
        await request(path)
    telemetry.sent.add(1, {"messaging.destination.name": "lamps"})
    telemetry.consumed.add(1, {"messaging.destination.name": "lamps"})

    text = (await request("/metrics")).text

    assert "http_server_request_duration_seconds_bucket{" in text
    assert 'http_route="/lamps/{name}"' in text
    assert 'http_route="unmatched"' in text
    assert "/chairs" not in text
    assert "messaging_client_sent_messages_total{" in text
    assert "messaging_client_consumed_messages_total{" in text
