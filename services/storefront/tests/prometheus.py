"""A real Prometheus with the metrics of a shop in which something is wrong, for the tests of the live map."""

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from chassis.local.processes import answers, free_ports
from chassis.local.system import program

BEFORE, AFTER, STEP = 120, 900, 5
"""Seconds of data before and after now, and between two samples."""

GAUGES = {
    **{f'up{{job="{job}",instance="{job}:1"}}': 1 for job in ("edge", "storefront", "cart", "catalog", "rabbitmq")},
    'up{job="order",instance="order:1"}': 1,
    'up{job="order",instance="order:2"}': 0,
    'up{job="payment",instance="payment:1"}': 0,
    'pg_up{job="postgres"}': 1,
    'redis_up{job="valkey"}': 0,
    'rabbitmq_detailed_queue_messages{job="rabbitmq-queues",vhost="quayside",queue="payment"}': 1234,
    'rabbitmq_detailed_queue_messages{job="rabbitmq-queues",vhost="quayside",queue="cart"}': 0,
    'rabbitmq_detailed_queue_messages{job="rabbitmq-queues",vhost="quayside",queue="cart.dead"}': 3,
    'quayside_messaging_consumer_up{job="order",messaging_destination_name="order"}': 0,
    'quayside_outbox_events{job="catalog"}': 42,
    'quayside_outbox_age_seconds{job="catalog"}': 17,
    'quayside_orders_open{job="order",status="PENDING"}': 8,
    'quayside_orders_oldest_open_seconds{job="order",status="PENDING"}': 31,
    'quayside_payments_undecided{job="payment",state="UNKNOWN"}': 5,
}
PER_SECOND = {
    'quayside_edge_request_duration_seconds_count{job="edge",service="storefront",status="2xx"}': 21,
    'quayside_edge_request_duration_seconds_count{job="edge",service="payment",status="5xx"}': 4,
    'http_server_request_duration_seconds_count{job="storefront",http_response_status_code="200"}': 20,
    'http_server_request_duration_seconds_count{job="storefront",http_response_status_code="503"}': 2,
    'http_server_request_duration_seconds_bucket{job="storefront",le="0.1"}': 22,
    'http_server_request_duration_seconds_bucket{job="storefront",le="+Inf"}': 22,
    'http_client_request_duration_seconds_count{job="storefront",server_address="payment",error_type="unreachable"}': 3,
    'messaging_client_sent_messages_total{job="order",quayside_message_type="payment.charge.v1"}': 7,
    'messaging_client_consumed_messages_total{job="catalog",messaging_destination_name="catalog"}': 6,
    'quayside_orders_placed_total{job="order"}': 9,
    'quayside_orders_settled_total{job="order",status="CONFIRMED"}': 0.05,
    'quayside_payment_provider_duration_seconds_count{job="payment",outcome="unknown"}': 1,
    'pg_stat_database_xact_commit{job="postgres",datname="order"}': 300,
    'redis_commands_processed_total{job="valkey"}': 80,
}


@contextlib.contextmanager
def prometheus(home: Path) -> Iterator[str]:
    """Yields its address."""
    samples = home / "samples"
    samples.write_text("".join(_lines(round(time.time()))))
    create = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(samples), str(home / "data")]
    subprocess.run(create, check=True, capture_output=True)
    (home / "prometheus.yml").write_text("{}")
    (port,) = free_ports(1)
    options = [f"--config.file={home}/prometheus.yml", f"--storage.tsdb.path={home}/data"]
    options.append(f"--web.listen-address=127.0.0.1:{port}")
    with subprocess.Popen([program("prometheus"), *options], stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not answers(port, b"GET /-/ready HTTP/1.1\r\nHost: localhost\r\n\r\n", b"HTTP/1.1 200"):
                assert process.poll() is None, "Prometheus has ended"
                assert time.monotonic() < deadline, "Prometheus does not become ready"
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _lines(now: int) -> Iterator[str]:
    """Yields the samples in the form of OpenMetrics, in order of time."""
    for second in range(0, BEFORE + AFTER, STEP):
        at = now - BEFORE + second
        yield from (f"{series} {value} {at}\n" for series, value in GAUGES.items())
        yield from (f"{series} {rate * second} {at}\n" for series, rate in PER_SECOND.items())
    yield "# EOF\n"
