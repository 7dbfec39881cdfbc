"""What is recorded once the saga of an order has ended: metrics, the span `order`, and a log line if it failed."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from chassis import tracing
from chassis.metrics import observe
from order import metrics
from order.models import FAILED, Status

__all__ = ["Ending", "record"]

log = logging.getLogger(__name__)

SLOW_SECONDS = 10.0
"""The span of an order that takes longer is exported even if its trace is not sampled."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of an order's saga. `began_at` is when the order was placed or, for a refund, when it was asked for."""

    order_id: UUID
    status: Status
    reason: str | None
    began_at: datetime
    ended_at: datetime
    traceparent: str | None


def record(endings: Iterable[Ending]) -> None:
    """Records these endings in the traces of their orders. Call it once for each, after the commit."""
    for ending in endings:
        with tracing.inside(tracing.extract(ending.traceparent)):
            _record(ending)


def _record(ending: Ending) -> None:
    seconds = (ending.ended_at - ending.began_at).total_seconds()
    failed = ending.status in FAILED
    metrics.ended.labels(ending.status).inc()
    if ending.status is Status.CONFIRMED:
        observe(metrics.confirmation, seconds)
    if failed:
        why = f": {ending.reason}" if ending.reason else ""
        fields = {"order_id": str(ending.order_id), "status": ending.status}
        log.info("order %s %s%s", ending.order_id, ending.status, why, extra={"fields": fields})
    if failed or seconds > SLOW_SECONDS or tracing.recording():
        tracing.keep(
            "order",
            ending.began_at.timestamp(),
            ending.ended_at.timestamp(),
            {"quayside.order.id": str(ending.order_id), "quayside.order.status": ending.status},
            error=ending.status if failed else None,
        )
