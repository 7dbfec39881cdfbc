"""The metrics of order. docs/reference/telemetry.md explains each."""

from collections.abc import Iterable, Mapping
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from order.models import OPEN, UNDOING, Status, settled

__all__ = ["MEASURED", "confirmation", "ended", "placed", "set_audit", "set_open"]

placed = Counter("quayside_orders_placed", "Orders stored")
ended = Counter("quayside_orders_settled", "Orders whose saga ended in this state", ["status"])
confirmation = Histogram(
    "quayside_order_confirmation_seconds",
    "Time from POST to CONFIRMED",
    buckets=(0.05, 0.1, 0.25, 0.5, 0.75, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 900),
)
open_orders = Gauge("quayside_orders_open", "Orders that are in this state now; counted up to 10,000", ["status"])
oldest_open = Gauge("quayside_orders_oldest_open_seconds", "Age of the oldest of them, in this state", ["status"])
audit_ok = Gauge("quayside_audit_ok", "1 if the last audit found nothing wrong, otherwise 0", ["invariant"])
audit_findings = Gauge("quayside_audit_findings", "What the last audit found", ["invariant"])
audit_timestamp = Gauge("quayside_audit_timestamp_seconds", "When the last audit ended")

MEASURED = (open_orders, oldest_open, audit_ok, audit_findings)
"""What is read from the database and may change. The time of the last audit stays true."""

for status in filter(settled, Status):  # a counter that begins with 0 shows its first increase
    ended.labels(status)


def set_open(found: Mapping[Status, tuple[int, float]]) -> None:
    """Sets the gauges of all states to (number, seconds); those that are not in `found` to 0."""
    for status in OPEN | UNDOING:
        count, seconds = found.get(status, (0, 0.0))
        open_orders.labels(status).set(count)
        oldest_open.labels(status).set(seconds)


def set_audit(results: Iterable[tuple[str, int, datetime]]) -> None:
    """Sets the gauges of the last audit to its (invariant, findings, time)."""
    audit_ok.clear()
    audit_findings.clear()
    for invariant, findings, at in results:
        audit_ok.labels(invariant).set(int(findings == 0))
        audit_findings.labels(invariant).set(findings)
        audit_timestamp.set(at.timestamp())
