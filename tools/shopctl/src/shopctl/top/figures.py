"""The figures of the page: two snapshots become rates, quantiles and totals."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from shopctl.services import Services
from shopctl.statuses import OPEN, UNDOING
from shopctl.top.series import Sample, Series
from shopctl.top.snapshot import Process, Snapshot
from shopctl.topology import Queue

__all__ = ["Audit", "Figures", "Held", "Orders", "Route", "Service", "figures"]

REQUESTS = "http_server_request_duration_seconds"
STATUS = "http_response_status_code"
EDGE_REQUESTS = "quayside_edge_request_duration_seconds"
CONFIRMATION = "quayside_order_confirmation_seconds"


@dataclass(frozen=True)
class Service:
    """One service. Rates are per second, durations in seconds; None is unknown. `retrying` and `dead` are messages."""

    name: str
    processes: int
    up: int
    memory: int | None
    cpu: float | None
    requests: float | None
    errors: float | None
    p50: float | None
    p95: float | None
    outbox: int | None
    outbox_age: float | None
    queue: Queue | None
    retrying: int
    dead: int


@dataclass(frozen=True)
class Held:
    """How many orders or payments are in a state, and the age of the oldest in seconds."""

    state: str
    count: int
    age: float


@dataclass(frozen=True)
class Orders:
    """Orders per second, seconds from POST to CONFIRMED, and what is not settled; None is unknown."""

    placed: float | None
    confirmed: float | None
    failed: float | None
    p50: float | None
    p95: float | None
    open: Sequence[Held]
    undecided: Sequence[Held]
    stuck: int | None


@dataclass(frozen=True)
class Route:
    """One route of a service."""

    service: str
    name: str
    requests: float
    errors: float
    p95: float | None


@dataclass(frozen=True)
class Audit:
    """When the last audit ended, in seconds since 1970, and the invariants that did not hold."""

    at: float
    failed: Sequence[str]


@dataclass(frozen=True)
class Figures:
    """All that the page shows, except for the curves of the past."""

    at: float
    services: Sequence[Service]
    stores: Sequence[Service]
    orders: Orders
    audit: Audit | None
    routes: Sequence[Route]
    queues: Mapping[str, Queue | None] | None
    remarks: Sequence[str]


def figures(before: Snapshot, now: Snapshot, services: Services) -> Figures:
    """Compares two snapshots. What is neither the edge nor in `services` is a store or a tool."""
    elapsed = max(now.at - before.at, 0.001)
    old = {each.name: each.series for each in before.processes if each.series}
    by_service: dict[str, list[Process]] = {}
    for process in now.processes:
        by_service.setdefault(process.service, []).append(process)
    reported = {name: _together(each.series for each in found) for name, found in by_service.items()}
    counted = {
        # What a process counted before it was first seen is not recent.
        name: _together(each.series.since(old[each.name]) for each in found if each.series and each.name in old)
        for name, found in by_service.items()
    }

    def service(name: str) -> Service:
        found, recent, series = by_service[name], counted[name], reported[name]
        memories = [each.memory for each in found if each.memory is not None]
        known = any(each.series for each in found)
        requests = EDGE_REQUESTS if name == "edge" else REQUESTS
        return Service(
            name,
            processes=len(found),
            up=sum(each.up for each in found),
            memory=sum(memories) if memories else None,
            cpu=_rate(recent, "process_cpu_seconds_total", elapsed),
            requests=_rate(recent, f"{requests}_count", elapsed) or (0.0 if known else None),
            errors=_failed(recent.all(f"{requests}_count")) / elapsed if known else None,
            p50=recent.quantile(0.5, requests),
            p95=recent.quantile(0.95, requests),
            outbox=_whole(series.highest("quayside_outbox_events")) if name in services.outboxes else None,
            outbox_age=series.highest("quayside_outbox_age_seconds") if name in services.outboxes else None,
            queue=(now.queues or {}).get(name),
            retrying=sum(q.messages for key, q in (now.queues or {}).items() if q and key.startswith(f"{name}.retry.")),
            dead=dead.messages if (dead := (now.queues or {}).get(f"{name}.dead")) else 0,
        )

    shop, recent = _together(reported.values()), _together(counted.values())
    return Figures(
        at=now.at,
        services=[service(name) for name in ("edge", *services.names) if name in by_service],
        stores=[service(name) for name in by_service if name not in ("edge", *services.names)],
        orders=_orders(shop, recent, elapsed),
        audit=_audit(shop),
        routes=sorted(_routes(counted, elapsed), key=lambda route: -route.requests),
        queues=now.queues,
        remarks=now.remarks,
    )


def _orders(shop: Series, recent: Series, elapsed: float) -> Orders:
    failed = sum(recent.total("quayside_orders_settled_total", status=status) or 0.0 for status in FAILED)
    placed = _rate(recent, "quayside_orders_placed_total", elapsed)
    confirmed = recent.total("quayside_orders_settled_total", status="CONFIRMED")
    return Orders(
        placed=placed,
        confirmed=None if placed is None else (confirmed or 0.0) / elapsed,
        failed=None if placed is None else failed / elapsed,
        p50=recent.quantile(0.5, CONFIRMATION),
        p95=recent.quantile(0.95, CONFIRMATION),
        open=_held(shop, "quayside_orders_open", "quayside_orders_oldest_open_seconds", "status", (*OPEN, *UNDOING)),
        undecided=_held(shop, "quayside_payments_undecided", "quayside_payments_oldest_undecided_seconds", "state", ()),
        stuck=_whole(shop.highest("quayside_payments_stuck")),
    )


FAILED = ("REJECTED", "PAYMENT_FAILED", "EXPIRED")
"""What the shop could not sell. CANCELLED and REFUNDED are wishes of shoppers."""


def _held(series: Series, counts: str, ages: str, label: str, states: Sequence[str]) -> list[Held]:
    known = series.values(counts, label)
    return [
        Held(state, int(count), series.highest(ages, **{label: state}) or 0.0)
        for state in (*(each for each in states if each in known), *(each for each in known if each not in states))
        if (count := series.highest(counts, **{label: state})) is not None
    ]


def _audit(series: Series) -> Audit | None:
    at = series.highest("quayside_audit_timestamp_seconds")
    if not at:
        return None
    failed = [each.labels.get("invariant", "") for each in series.all("quayside_audit_ok") if not each.value]
    return Audit(at, list(dict.fromkeys(failed)))


def _routes(counted: Mapping[str, Series], elapsed: float) -> Iterable[Route]:
    for service, recent in counted.items():
        by_route: dict[tuple[str, str], list[Sample]] = {}
        for each in recent.all(f"{REQUESTS}_count"):
            key = each.labels["http_request_method"], each.labels["http_route"]
            by_route.setdefault(key, []).append(each)
        for (method, route), samples in by_route.items():
            if count := sum(each.value for each in samples):
                p95 = recent.quantile(0.95, REQUESTS, http_request_method=method, http_route=route)
                yield Route(service, f"{method} {route}", count / elapsed, _failed(samples) / elapsed, p95)


def _failed(samples: Iterable[Sample]) -> float:
    """The requests with a status of 500 and above."""
    return sum(each.value for each in samples if (each.labels.get(STATUS) or each.labels["status"]).startswith("5"))


def _together(series: Iterable[Series | None]) -> Series:
    return Series(sample for each in series if each for sample in each)


def _rate(recent: Series, name: str, elapsed: float) -> float | None:
    total = recent.total(name)
    return None if total is None else total / elapsed


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
