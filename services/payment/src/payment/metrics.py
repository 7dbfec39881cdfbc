"""The metrics of payment. docs/reference/telemetry.md explains each."""

from collections.abc import Mapping

from prometheus_client import Gauge, Histogram

from payment.models import OPERATIONS, State

__all__ = ["MEASURED", "provider_duration", "set_undecided", "stuck"]

undecided = Gauge(
    "quayside_payments_undecided",
    "Payments for which the provider's answer is missing; counted up to 10,000",
    ["state"],
)
oldest_undecided = Gauge("quayside_payments_oldest_undecided_seconds", "Age of the oldest of them", ["state"])
stuck = Gauge("quayside_payments_stuck", "Payments that need an operator")
MEASURED = (undecided, oldest_undecided, stuck)
"""What is read from the database."""

provider_duration = Histogram(
    "quayside_payment_provider_duration_seconds",
    "Duration of requests to the provider",
    ["provider", "operation", "outcome"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)


def set_undecided(found: Mapping[State, tuple[int, float]]) -> None:
    """Sets the gauges of all undecided states to (number, seconds); those that are not in `found` to 0."""
    for state in OPERATIONS:
        count, seconds = found.get(state, (0, 0.0))
        undecided.labels(state).set(count)
        oldest_undecided.labels(state).set(seconds)
