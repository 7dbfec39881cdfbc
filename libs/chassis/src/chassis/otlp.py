"""Sends spans to an OpenTelemetry collector or Jaeger: OTLP over HTTP, as JSON, from a thread.

The shop must not notice a collector that is down, slow or full. So the buffer has a bound, a request has a timeout,
nothing is sent twice, and spans that find no place are counted (`quayside_trace_dropped_spans_total`).
"""

import atexit
import http.client
import logging
import threading
import time
from collections import deque
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from chassis import metrics
from chassis.outage import Outage
from chassis.tracing import Span, Value

__all__ = ["Exporter"]

log = logging.getLogger(__name__)

BUFFER = 8192
"""Spans that wait at most: about 5 MB."""
TAKE = 512
GATHER = 0.5
"""Seconds that the first span of a request waits for others."""
TIMEOUT = 3.0
PAUSES = (1.0, 30.0)
"""Seconds without a request after the first failure, and after many."""

_encode = msgspec.json.Encoder().encode


class Exporter:
    """Exports spans of one process to `<endpoint>/v1/traces`. `close` sends what is left, within a second.

    Raises ValueError if the endpoint is no URL of HTTP.
    """

    def __init__(self, endpoint: str, service: str, instance: str) -> None:
        self._url = urlsplit(endpoint.rstrip("/") + "/v1/traces")
        if self._url.scheme not in ("http", "https") or not self._url.hostname or not _has_valid_port(self._url):
            raise ValueError("the endpoint for traces must look like http://host:4318")
        self._resource = {
            "attributes": _attributes(
                {"service.name": service, "service.namespace": "quayside", "service.instance.id": instance}
            )
        }
        self._waiting: deque[Span] = deque()
        self._arrived = threading.Event()
        self._closing = threading.Event()
        self._outage = Outage(log, "sending traces")
        self._thread = threading.Thread(target=self._run, name="traces", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def add(self, span: Span) -> None:
        if len(self._waiting) >= BUFFER:
            metrics.dropped_spans.inc()
            return
        self._waiting.append(span)
        if not self._arrived.is_set():
            self._arrived.set()

    def close(self) -> None:
        self._closing.set()
        self._arrived.set()
        self._thread.join(1)

    def _run(self) -> None:
        delay = PAUSES[0]
        while True:
            self._arrived.wait()
            last = self._closing.wait(GATHER)
            self._arrived.clear()
            while self._waiting:
                if self._sent(self._take()):
                    delay = PAUSES[0]
                elif last:
                    return
                else:
                    self._closing.wait(delay)
                    delay = min(delay * 2, PAUSES[1])
            if last:
                return

    def _take(self) -> list[Span]:
        return [self._waiting.popleft() for _ in range(min(TAKE, len(self._waiting)))]

    def _sent(self, spans: list[Span]) -> bool:
        """Sends spans once. Returns whether the collector has them."""
        try:
            self._post(self._body(spans))
        except (OSError, http.client.HTTPException) as error:
            metrics.dropped_spans.inc(len(spans))
            self._outage.failed(f"{self._url.hostname}: {error or type(error).__name__}")
            return False
        except Exception as error:  # this thread must not end
            metrics.dropped_spans.inc(len(spans))
            self._outage.failed(f"{type(error).__name__}: {error}", error)
            return False
        metrics.exported_spans.inc(len(spans))
        self._outage.over()
        return True

    def _post(self, body: bytes) -> None:
        secure = self._url.scheme == "https"
        connection = (http.client.HTTPSConnection if secure else http.client.HTTPConnection)(
            self._url.hostname or "", self._url.port or (443 if secure else 80), timeout=TIMEOUT
        )
        ends = time.monotonic() + TIMEOUT
        try:
            connection.request("POST", self._url.path, body, {"Content-Type": "application/json"})
            response = connection.getresponse()
            while response.read(4096):  # an answer that never ends must not hold this thread
                if time.monotonic() > ends:
                    raise TimeoutError("its answer does not end")
            if response.status >= 300:
                raise ConnectionError(f"it answered {response.status}")
        finally:
            connection.close()

    def _body(self, spans: list[Span]) -> bytes:
        scope = {"scope": {"name": "quayside"}, "spans": [_span(span) for span in spans]}
        return _encode({"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]})


def _has_valid_port(url: SplitResult) -> bool:
    try:
        return url.port != 0
    except ValueError:  # not a number from 0 to 65535
        return False


def _span(span: Span) -> dict[str, Any]:
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        "parentSpanId": span.parent_id,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start),
        "endTimeUnixNano": str(max(span.start, span.end)),
        "attributes": _attributes(span.attributes),
        "links": [{"traceId": link.trace_id, "spanId": link.span_id} for link in span.links],
        "status": {} if span.error is None else {"code": 2},
    }


def _attributes(values: dict[str, Value]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in values.items()]


def _value(value: Value) -> dict[str, Any]:
    match value:
        case bool():
            return {"boolValue": value}
        case int():
            return {"intValue": str(value)}
        case float():
            return {"doubleValue": value}
    return {"stringValue": value}
