"""Logs as JSON, and the span, metric and log line of each request. See also `tracing` and `metrics`.

With the instrumentation of opentelemetry-contrib a request costs five times as much; our own costs almost nothing.
`test_telemetry.py` shows the lines and series.
"""

import asyncio
import json
import logging
import random
import re
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, Self

from chassis import metrics, tracing
from chassis.errors import Problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from chassis.settings import ServiceSettings  # edge_exporter needs none, and pydantic costs 15 MB

__all__ = ["RequestTelemetry", "failed", "setup", "write_logs"]

GONE = 499  # as in nginx: the client disconnected before a response was sent
EVENT_STREAM = b"text/event-stream; charset=utf-8"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LINES_PER_SECOND = 10
LINE = "%s %s %d"
FAILURES = "chassis.failures"

access = logging.getLogger("access")


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
        if trace_id := tracing.trace_id():
            line["trace_id"] = trace_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # in ASCII: a lone surrogate in a request must not lose the line


JsonFormatter.converter = time.gmtime


def write_logs(level: str = "info") -> None:
    """Makes this process write its logs to standard output, as JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(Bound())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def setup(settings: "ServiceSettings", service: str) -> None:
    """Sets up the logs of this process and, with an endpoint, its traces. `create_app` calls it once."""
    write_logs(settings.log_level)
    for name in ("aio_pika", "aiormq"):  # they log a stack trace for each lost connection; we log one line
        logging.getLogger(name).setLevel(logging.CRITICAL)
    server = logging.getLogger("uvicorn")  # log its lines in our format
    server.handlers.clear()
    server.propagate = True
    if settings.otel_exporter_otlp_endpoint and not tracing.exporting():
        from chassis.otlp import Exporter

        tracing.export_to(
            Exporter(settings.otel_exporter_otlp_endpoint, service, socket.gethostname()), settings.trace_sample_ratio
        )


class LoopLag:
    """Measures once a second, inside its `async with` block, how late the event loop runs a timer."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="loop lag")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(1)
            metrics.loop_lag.observe(max(0.0, time.perf_counter() - start - 1))


class Bound(logging.Filter):
    """Permits 10 lines a second from each place in the code, and counts those that it does not permit.

    In an outage every request fails, and each failure is a line.
    """

    def __init__(self, limit: int = LINES_PER_SECOND) -> None:
        super().__init__()
        self._limit = limit
        self._second = 0
        self._counts: dict[tuple[str, int], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._counts = second, {}
        place = record.pathname, record.lineno
        count = self._counts[place] = self._counts.get(place, 0) + 1
        if count <= self._limit:
            return True
        metrics.suppressed_lines.inc()
        return False


def failed(scope: "Scope", error: Exception) -> None:
    """Notes why a request failed, for its log line: a problem, or an exception that nobody expected."""
    if FAILURES in scope:
        scope[FAILURES].append(error)


class RequestTelemetry:
    """Pure ASGI middleware: records a span (if sampled), a duration, and a log line for failures and a sample.

    The duration and the span of an event stream end with its headers: nobody waits for as long as it stays open.
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
        status, end = GONE, 0.0
        scope[FAILURES] = []  # one list for all copies of the scope

        async def observed(message: "Message") -> None:
            nonlocal status, end
            if message["type"] == "http.response.start":
                status = message["status"]
                if (b"content-type", EVENT_STREAM) in message["headers"]:
                    end = time.perf_counter()
                    if span is not None:
                        describe_request(span, method, scope, status)
                        span.finish()
            await send(message)

        sent = next((value for key, value in scope["headers"] if key == b"traceparent"), None)
        context = tracing.receive(None if sent is None else sent.decode("latin-1"))
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = tracing.Span(method, tracing.SERVER, context) if context is not None and context.recording else None
        with span or tracing.inside(context):
            try:
                await self.app(scope, receive, observed)
            finally:
                if span is not None and not span.end:
                    describe_request(span, method, scope, status)
                self._record(method, scope, status, (end or time.perf_counter()) - start)

    def _record(self, method: str, scope: "Scope", status: int, elapsed: float) -> None:
        route = route_of(scope)
        metrics.observe(metrics.request_duration.labels(method, route, status), elapsed)
        failures = scope[FAILURES]
        if status < 500 and not failures and random.random() >= self.sample_ratio:  # noqa: S311
            return
        fields = {
            "method": method,
            "route": route,
            "status": status,
            "ms": round(elapsed * 1000, 1),
            **{name: value for name, value in scope.get("path_params", {}).items() if UUID.fullmatch(str(value))},
        }
        if status < 500 and not failures:
            access.info(LINE, method, route, status, extra={"fields": fields})
        elif failures and not isinstance(failures[-1], Problem):
            access.error(LINE, method, route, status, extra={"fields": fields}, exc_info=failures[-1])
        else:
            reason = {"reason": _reason(failures[-1])} if failures else {}
            access.warning(LINE, method, route, status, extra={"fields": fields | reason})


def _reason(problem: Problem) -> str:
    """Returns what caused the problem, or else what it says itself, in one line."""
    cause = problem.__cause__
    text = problem.detail if cause is None else f"{type(cause).__name__}: {cause}"
    return f"{problem.slug}: {' '.join(text.split())[:300]}"


def describe_request(span: tracing.Span, method: str, scope: "Scope", status: int) -> None:
    route = route_of(scope)
    span.name = f"{method} {route}"
    span.attributes |= {
        "http.request.method": method,
        "http.route": route,
        "http.response.status_code": status,
        "url.scheme": scope["scheme"],
    }
    if status >= 500:
        span.fail(str(status))


def route_of(scope: "Scope") -> str:
    """Returns the template of the route, so that metrics have one series per route and not one per ID."""
    return getattr(scope.get("route"), "path", "unmatched")
