"""Traces, metrics and logs. The names of spans and metrics are defined here and nowhere else.

With the instrumentation of opentelemetry-contrib a request costs five times as much; our own span and histogram cost
almost nothing. Messages carry the trace ID, so that a saga can be followed across the broker. `test_telemetry.py`
follows one.
"""

import contextlib
import json
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, propagate, trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.trace import Link, SpanKind

from chassis.settings import ServiceSettings

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestTelemetry", "consume_span", "setup", "traceparent"]

REQUEST_DURATION = "http.server.request.duration"  # OpenTelemetry semantic conventions
MESSAGES_CONSUMED = "messaging.client.consumed.messages"
MESSAGES_SENT = "messaging.client.sent.messages"
MESSAGES_REFUSED = "quayside.messaging.refused"  # the names from here on are our own: the conventions have none
SUBSCRIPTIONS = "quayside.messaging.subscriptions"
CONSUMER_UP = "quayside.messaging.consumer.up"
OUTBOX_AGE = "quayside.outbox.age"
GONE = 499  # as in nginx: the client disconnected before a response was sent
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_meter = metrics.get_meter("quayside")
_tracer = trace.get_tracer("quayside")
request_duration = _meter.create_histogram(
    REQUEST_DURATION,
    unit="s",
    description="Duration of HTTP requests",
    explicit_bucket_boundaries_advisory=BUCKETS,
)
consumed = _meter.create_counter(MESSAGES_CONSUMED, unit="{event}", description="Events handled")
sent = _meter.create_counter(MESSAGES_SENT, unit="{event}", description="Events published and confirmed")
refused = _meter.create_counter(
    MESSAGES_REFUSED,
    unit="{event}",
    description="Events that the broker refused: no queue, or a full one",
)
subscribed = _meter.create_counter(SUBSCRIPTIONS, unit="{subscription}", description="Subscriptions of a consumer")
consumer_up = _meter.create_gauge(CONSUMER_UP, description="1 while this process consumes the queue, otherwise 0")
outbox_age = _meter.create_gauge(OUTBOX_AGE, unit="s", description="Age of the oldest unpublished event")
access = logging.getLogger("access")

_tracing = False


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON: time, level, logger, message, trace ID, and `extra={"fields": {…}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            line["trace_id"] = trace.format_trace_id(context.trace_id)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # in ASCII: a lone surrogate in a request must not lose the line


JsonFormatter.converter = time.gmtime


def setup(settings: ServiceSettings, service: str) -> None:
    """Sets up the logs and metrics of this process and, with an endpoint, its traces. `create_app` calls it once."""
    global _tracing
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    for name in ("aio_pika", "aiormq"):  # they log a stack trace for each lost connection; we log one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = logging.getLogger("uvicorn")  # log its lines in our format
    server.handlers.clear()
    server.propagate = True
    resource = Resource({SERVICE_NAME: service})
    if not isinstance(metrics.get_meter_provider(), MeterProvider):
        metrics.set_meter_provider(MeterProvider([PrometheusMetricReader()], resource=resource))
    if settings.otel_exporter_otlp_endpoint and not _tracing:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(settings.trace_sample_ratio)), resource=resource
        )
        endpoint = settings.otel_exporter_otlp_endpoint.rstrip("/") + "/v1/traces"
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint, timeout=5)))
        trace.set_tracer_provider(provider)
        _tracing = True


def traceparent() -> str | None:
    """Returns the current span as a W3C traceparent, or None without tracing."""
    if not _tracing:
        return None
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier.get("traceparent")


@contextlib.contextmanager
def consume_span(type: str, traceparents: Sequence[str | None]) -> Iterator[None]:
    """Opens a consumer span for a batch, with a link to the span that caused each event."""
    if not _tracing:
        yield
        return
    contexts = [
        trace.get_current_span(propagate.extract({"traceparent": t})).get_span_context() for t in traceparents if t
    ]
    with _tracer.start_as_current_span(
        f"process {type}", kind=SpanKind.CONSUMER, links=[Link(c) for c in contexts if c.is_valid]
    ):
        yield


class RequestTelemetry:
    """Pure ASGI middleware: records a span (with tracing), a duration, and a log line for failures and a sample.

    The application inside raises nothing (see `chassis.failures`), so the status is the one that was sent.
    """

    def __init__(self, app: "ASGIApp", sample_ratio: float) -> None:
        self.app = app
        self.sample_ratio = sample_ratio

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] != "http" or scope["path"].startswith(("/health/", "/metrics")):
            await self.app(scope, receive, send)
            return
        start = time.perf_counter()
        status = GONE

        async def observed(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if _tracing:
                carrier = {k.decode(): v.decode("latin-1") for k, v in scope["headers"] if k == b"traceparent"}
                with _tracer.start_as_current_span(
                    scope["method"], context=propagate.extract(carrier), kind=SpanKind.SERVER
                ) as span:
                    await self.app(scope, receive, observed)
                    span.update_name(f"{scope['method']} {route_of(scope)}")
                    span.set_attribute("http.response.status_code", status)
            else:
                await self.app(scope, receive, observed)
        finally:
            elapsed = time.perf_counter() - start
            route = route_of(scope)
            request_duration.record(
                elapsed,
                {
                    "http.request.method": scope["method"],
                    "http.route": route,
                    "http.response.status_code": status,
                },
            )
            if status >= 500 or random.random() < self.sample_ratio:  # noqa: S311
                fields = {
                    "method": scope["method"],
                    "route": route,
                    "status": status,
                    "ms": round(elapsed * 1000, 1),
                }
                access.info("%s %s %d", scope["method"], scope["path"], status, extra={"fields": fields})


def route_of(scope: "Scope") -> str:
    """Returns the template of the route, so that metrics have one series per route and not one per ID."""
    return getattr(scope.get("route"), "path", "unmatched")
