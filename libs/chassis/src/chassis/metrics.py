"""The metrics of every service, in Prometheus' form. A service adds its own in its `metrics.py`.

OpenTelemetry's SDK takes 7 µs for a measurement and knows no exemplars at `/metrics`; prometheus_client takes 1 µs.
The names are those that OpenTelemetry's semantic conventions get in Prometheus; where they have none, the name begins
with `quayside_`. docs/reference/telemetry.md explains each, and a contract test compares it with this module.

No label may have unbounded values: no ID, no path, no text of an error.
"""

import prometheus_client
from prometheus_client import Counter, Gauge, Histogram

from chassis import tracing

__all__ = ["observe"]

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
for collector in (prometheus_client.GC_COLLECTOR, prometheus_client.PLATFORM_COLLECTOR):
    prometheus_client.REGISTRY.unregister(collector)

DURATIONS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# HTTP
request_duration = Histogram(
    "http_server_request_duration_seconds",
    "Duration of requests to this process",
    ["http_request_method", "http_route", "http_response_status_code"],
    buckets=DURATIONS,
)
client_duration = Histogram(
    "http_client_request_duration_seconds",
    "Duration of calls to other services; error_type is empty for a response below 500",
    ["server_address", "error_type"],
    buckets=DURATIONS,
)
problems = Counter("quayside_http_problems", "Responses that are problems, by the problem's slug", ["slug"])
shed = Counter(
    "quayside_http_shed_requests", "Requests refused because too many of their kind were in progress", ["kind"]
)
refused_tokens = Counter("quayside_auth_refused_tokens", "Requests whose token was refused", ["reason"])
key_refresh_failures = Counter("quayside_auth_key_refresh_failures", "Failed requests for identity's signing keys")

# messages
sent = Counter("messaging_client_sent_messages", "Events published and confirmed", ["quayside_message_type"])
consumed = Counter(
    "messaging_client_consumed_messages",
    "Events handled",
    ["messaging_destination_name", "quayside_message_type"],
)
process_duration = Histogram(
    "messaging_process_duration_seconds",
    "Duration of the handling of a batch of one type",
    ["messaging_destination_name", "quayside_message_type"],
    buckets=DURATIONS,
)
batch_size = Histogram(
    "quayside_messaging_batch_size",
    "Events that one handler call received",
    ["messaging_destination_name"],
    buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
)
retries = Counter(
    "quayside_messaging_retries",
    "Events that failed and were put aside; the step is a pause, or dead",
    ["messaging_destination_name", "step"],
)
refused = Counter(
    "quayside_messaging_refused", "Events that the broker refused: no queue, or a full one", ["quayside_message_type"]
)
subscribed = Counter("quayside_messaging_subscriptions", "Subscriptions of a consumer", ["messaging_destination_name"])
consumer_up = Gauge(
    "quayside_messaging_consumer_up",
    "1 while this process consumes the queue, otherwise 0",
    ["messaging_destination_name"],
)
outbox_age = Gauge("quayside_outbox_age_seconds", "Age of the oldest event that is not published")
outbox_events = Gauge("quayside_outbox_events", "Events that are not published; counted up to 10,000")

# the process
pool_wait = Histogram(
    "quayside_database_pool_wait_seconds",
    "Time until a connection of the pool was free",
    buckets=(0.0001, 0.001, 0.01, 0.1, 0.5, 1, 2),
)
pool_connections = Gauge("quayside_database_pool_connections", "Connections to the database", ["state"])
loop_lag = Histogram(
    "quayside_event_loop_lag_seconds",
    "How late a timer of the event loop was; it is set once a second",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
suppressed_lines = Counter("quayside_log_suppressed_lines", "Lines that were not written: too many came from one place")
exported_spans = Counter("quayside_trace_exported_spans", "Spans that the collector accepted")
dropped_spans = Counter("quayside_trace_dropped_spans", "Spans lost: the buffer was full, or the collector failed")


def observe(histogram: Histogram, seconds: float) -> None:
    """Records a duration, with the current trace as its exemplar if it is sampled."""
    context = tracing.current()
    if context is not None and context.recording:
        histogram.observe(seconds, {"trace_id": context.trace_id})
    else:
        histogram.observe(seconds)
