"""The live map's data: one query for the numbers and one for the curves, for all who look at the same time."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from chassis.errors import Unavailable
from chassis.waiting import shared, wait_for
from storefront.models.live import SERVICES, Curve, Sample, Scene
from storefront.models.readings import drawn

__all__ = ["CURVES", "SHOWN_SECONDS", "Live", "Metrics", "Seen"]

KEPT_SECONDS = 1.0
"""How long a scene is shown to further viewers before Prometheus is asked again."""
SHOWN_SECONDS = 600
STEP_SECONDS = 10
"""The span of the curves, and the distance of their points."""

JOBS = "|".join(SERVICES)
EDGE = "quayside_edge_request_duration_seconds_count"

NOW = {
    "up": f'up{{job=~"edge|rabbitmq|{JOBS}"}}',
    "gone": f'max by (job, instance) (max_over_time(up{{job=~"edge|{JOBS}"}}[2m]) > 0) unless on (job, instance) up',
    "store_up": "min by (job) (pg_up or redis_up or nginx_up)",
    "edge": f"sum by (service, status) (rate({EDGE}[$window]))",
    "requests": "sum by (job, class) (label_replace(rate(http_server_request_duration_seconds_count"
    f'{{job=~"{JOBS}"}}[$window]), "class", "$1", "http_response_status_code", "(.).*"))',
    "p95": "histogram_quantile(.95, sum by (job, le) (rate(http_server_request_duration_seconds_bucket"
    f'{{job=~"{JOBS}"}}[$window])))'
    " or label_replace(histogram_quantile(.95, sum by (le) "
    '(rate(quayside_edge_request_duration_seconds_bucket[$window]))), "job", "edge", "", "")',
    "calls": "sum by (job, server_address, failed) (label_replace("
    'rate(http_client_request_duration_seconds_count[$window]), "failed", "yes", "error_type", ".+"))',
    "provider": "sum by (outcome) (rate(quayside_payment_provider_duration_seconds_count[$window]))",
    "sent": "sum by (job, quayside_message_type) (rate(messaging_client_sent_messages_total[$window]))",
    "consumed": "sum by (messaging_destination_name) (rate(messaging_client_consumed_messages_total[$window]))",
    "queue": "sum by (queue) (rabbitmq_detailed_queue_messages)",
    "consumer_up": "max by (messaging_destination_name) (quayside_messaging_consumer_up)",
    "outbox": "max by (job) (quayside_outbox_events)",
    "outbox_age": "max by (job) (quayside_outbox_age_seconds)",
    "open": "max by (status) (quayside_orders_open)",
    "oldest": "max by (status) (quayside_orders_oldest_open_seconds)",
    "placed": "sum(rate(quayside_orders_placed_total[$window]))",
    "settled": "sum by (status) (rate(quayside_orders_settled_total[$window]))",
    "seconds": "histogram_quantile(.95, sum by (le) (rate(quayside_order_confirmation_seconds_bucket[$window])))",
    "undecided": 'max(quayside_payments_undecided{state="UNKNOWN"})',
    "transactions": f'sum by (datname) (rate(pg_stat_database_xact_commit{{datname=~"{JOBS}"}}[$window]))',
    "commands": "sum(rate(redis_commands_processed_total[$window]))",
    "scrapes": f'max(count_over_time(up{{job=~"{JOBS}"}}[1m]))',
}
"""What the map shows, by the name that `drawn` knows it by."""

CURVES = {
    "orders": NOW["placed"],
    "seconds": NOW["seconds"],
    "errors": f'sum(rate({EDGE}{{status=~"5.."}}[$window]) or 0 * rate({EDGE}[$window]))',
}
"""Metrics of the last minutes."""


class Metrics(Protocol):
    """Prometheus. Each method raises Unavailable. Times are Unix times, in seconds."""

    async def now(self, query: str) -> Sequence[Sample]: ...
    async def since(self, query: str, start: float, end: float, step: float) -> Sequence[Curve]: ...


@dataclass(frozen=True, slots=True)
class Seen:
    """`scene` is None if there was none yet; `fresh` is false while Prometheus does not answer."""

    scene: Scene | None
    fresh: bool


class Live:
    """The latest scene of the shop. All who look within a second share one."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._seen = Seen(None, False)
        self._until = 0.0
        self._window = 60
        self._looking: asyncio.Task[None] | None = None

    async def look(self) -> Seen:
        """Raises Unavailable at the client's deadline."""
        if self._looking is None and time.monotonic() >= self._until:
            self._looking = shared(self._look(), "live map")
        if self._looking is not None:
            await wait_for(self._looking)
        return self._seen

    async def _look(self) -> None:
        now = time.time()
        end = now - now % STEP_SECONDS  # so that a curve keeps its shape
        try:
            samples, curves = await asyncio.gather(
                self._metrics.now(_union(NOW, self._window)),
                self._metrics.since(_union(CURVES, max(self._window, 30)), end - SHOWN_SECONDS, end, STEP_SECONDS),
            )
            self._window = _window(samples)
            self._seen = Seen(drawn(datetime.fromtimestamp(now, UTC), samples, curves), True)
        except Unavailable:
            self._seen = Seen(self._seen.scene, False)
        finally:
            self._until = time.monotonic() + KEPT_SECONDS
            self._looking = None


def _union(queries: dict[str, str], window: int) -> str:
    """Returns one query for all: the label `is` names the one that a series belongs to."""
    each = (f'label_replace({query}, "is", "{name}", "", "")' for name, query in queries.items())
    return " or ".join(each).replace("$window", f"{window}s")


def _window(samples: Sequence[Sample]) -> int:
    """Returns the seconds over which rates are taken: three intervals of scrapes, from 15 seconds to 2 minutes."""
    scrapes = next((sample.value for sample in samples if sample.labels["is"] == "scrapes"), 0)
    return min(max(15, round(180 / scrapes)), 120) if scrapes else 60
