"""Metrics and spans of the edge, from nginx's access log: nginx itself counts by neither service nor status.

    python -m chassis.edge_exporter 127.0.0.1:9145 0.0.0.0:9114

reads the log at the first address, a UDP packet with JSON for each request (deploy/nginx/README.md, Telemetry), and
serves `/metrics` at the second. It runs beside nginx where the shop is observed; nginx does not notice if it is down.
It imports neither FastAPI nor pydantic, and needs up to 35 MB. `tests/edge/test_telemetry.py` shows it with nginx.
"""

import contextlib
import os
import signal
import socket
import struct
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from prometheus_client import PROCESS_COLLECTOR, CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from chassis import metrics, telemetry, tracing
from chassis.otlp import Exporter

__all__ = ["Edge", "serve"]

STATUSES = frozenset({"429", "499", "503", "504"})
"""What tells why a request failed has a series of its own; otherwise the first digit is enough."""
CACHE = ("hit", "miss", "bypass", "expired", "stale", "updating", "revalidated")
MOST_PAIRS = 200
"""Pairs of service and status; nginx makes about 50, but any process of this machine can send a packet."""
BUFFER = 4 << 20
"""Bytes of lines that may wait; the system may permit less."""
GATHER = 0.005
"""Seconds in which lines gather: if each woke this process, nginx would spend as much on that as on a cached page."""
SO_MEMINFO, DROPS = 55, 8  # see socket(7); the ninth number counts the packets for which the buffer had no space
SCRAPE_TIMEOUT = 10.0


class Line(msgspec.Struct):
    """What nginx tells about a request, in the format `telemetry` of quayside.conf.template."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "_OTHER"]
    service: Annotated[str, Meta(pattern=r"^[a-z]{1,32}\Z")]
    route: Annotated[str, Meta(max_length=64)]
    status: Annotated[str, Meta(pattern=r"^[1-5][0-9]{2}\Z")]
    cache: str
    bytes: Annotated[int, Meta(ge=0, le=1 << 50)]
    end: Annotated[float, Meta(ge=0, le=1e11)]
    seconds: Annotated[float, Meta(ge=0, le=1e6)]
    traceparent: str
    caller: Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]


class Edge:
    """The metrics of one nginx. Spans of sampled traces go to `spans`."""

    def __init__(self, registry: CollectorRegistry, spans: Exporter | None = None) -> None:
        self._spans = spans
        self._decode = msgspec.json.Decoder(Line).decode
        self._pairs: dict[tuple[str, str], Histogram] = {}
        self.malformed = 0
        self._duration = Histogram(
            "quayside_edge_request_duration_seconds",
            "Duration of requests as clients see them; the service is `edge` if nginx answered by itself",
            ["service", "status"],
            buckets=metrics.DURATIONS,
            registry=registry,
        )
        cache = Counter("quayside_edge_cache_requests", "Requests by what the cache had", ["result"], registry=registry)
        self._cache = {result.upper(): cache.labels(result) for result in CACHE}
        self._bytes = Counter("quayside_edge_bytes", "Bytes sent to clients", registry=registry)

    def take(self, packet: bytes) -> None:
        """Counts a request. Anything that is not a line of nginx is counted as malformed."""
        try:
            line = self._decode(packet[packet.index(b"{") :])
            duration = self._of(line.service, line.status if line.status in STATUSES else f"{line.status[0]}xx")
        except (ValueError, RecursionError):
            self.malformed += 1
            return
        context = tracing.extract(line.traceparent)
        sampled = context is not None and context.recording
        duration.observe(line.seconds, {"trace_id": context.trace_id} if context is not None and sampled else None)
        self._bytes.inc(line.bytes)
        if found := self._cache.get(line.cache):
            found.inc()
        if context is not None and sampled and self._spans is not None:
            self._spans.add(span(line, context))

    def _of(self, service: str, status: str) -> Histogram:
        found = self._pairs.get((service, status))
        if found is None:
            if len(self._pairs) >= MOST_PAIRS:
                raise ValueError("too many services")
            found = self._pairs[service, status] = self._duration.labels(service, status)
        return found


def span(line: Line, context: tracing.Context) -> tracing.Span:
    """Returns the edge's span of a request: `context` is what services got as their parent."""
    made = tracing.Span(
        f"{line.method} {line.route}".rstrip(),
        tracing.SERVER,
        context,
        {"http.request.method": line.method, "http.response.status_code": int(line.status)},
    )
    made.span_id, made.parent_id = context.span_id, line.caller
    made.start, made.end = int((line.end - line.seconds) * 1e9), int(line.end * 1e9)
    if line.route:
        made.set("http.route", line.route)
    if line.cache:
        made.set("quayside.cache", line.cache)
    if line.status >= "500":
        made.fail(line.status)
    return made


class Lost(Collector):
    """The lines that are not in the other metrics."""

    def __init__(self, edge: Edge, lines: socket.socket) -> None:
        self._edge = edge
        self._lines = lines

    def collect(self) -> Iterator[CounterMetricFamily]:
        lost = CounterMetricFamily(
            "quayside_edge_lost_lines", "Lines that were malformed, or for which there was no space", labels=["reason"]
        )
        lost.add_metric(["malformed"], self._edge.malformed)
        lost.add_metric(["overflow"], dropped(self._lines))
        yield lost


def dropped(lines: socket.socket) -> int:
    """Returns how many packets the system has dropped because this process was too slow; 0 if it does not tell."""
    try:
        numbers = lines.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (DROPS + 1))
        return int(struct.unpack_from("I", numbers, 4 * DROPS)[0])
    except (OSError, struct.error):
        return 0


def serve(lines_at: tuple[str, int], metrics_at: tuple[str, int], spans: Exporter | None, ratio: float) -> None:
    """Reads lines until the process ends. Raises OSError if an address is taken."""
    tracing.export_to(spans, ratio)
    registry = CollectorRegistry()
    for each in (PROCESS_COLLECTOR, metrics.exported_spans, metrics.dropped_spans):
        registry.register(each)
    edge = Edge(registry, spans)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lines:
        lines.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        lines.bind(lines_at)
        registry.register(Lost(edge, lines))
        server, _ = start_http_server(metrics_at[1], metrics_at[0], registry)
        server.RequestHandlerClass.timeout = SCRAPE_TIMEOUT  # type: ignore[attr-defined]
        while True:
            edge.take(lines.recv(4096))
            time.sleep(GATHER)
            with contextlib.suppress(BlockingIOError):
                while True:
                    edge.take(lines.recv(4096, socket.MSG_DONTWAIT))


def main(lines_at: str, metrics_at: str) -> None:
    telemetry.write_logs()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        ratio = float(os.environ.get("TRACE_SAMPLE_RATIO") or 1)
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        sys.exit("edge-exporter: TRACE_SAMPLE_RATIO must be a number from 0 to 1")
    endpoint = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    try:
        spans = Exporter(endpoint, "edge", socket.gethostname()) if endpoint else None
    except ValueError as error:
        sys.exit(f"edge-exporter: OTEL_EXPORTER_OTLP_ENDPOINT: {error}")
    try:
        serve(address(lines_at), address(metrics_at), spans, ratio)
    except OSError as error:
        sys.exit(f"edge-exporter: {lines_at} or {metrics_at} cannot be used: {error.strerror}")
    except KeyboardInterrupt:
        pass


def address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m chassis.edge_exporter HOST:PORT HOST:PORT")
    main(*sys.argv[1:])
