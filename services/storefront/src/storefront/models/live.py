"""What the live map shows: the shop's parts, and the traffic between them. No I/O.

A part that is not measured has the state `unknown`, and its numbers are None: it does not count as down.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

__all__ = [
    "CONSUMERS",
    "SERVICES",
    "STORES",
    "Curve",
    "Queue",
    "Replica",
    "Sample",
    "Scene",
    "Service",
    "Store",
    "Traffic",
    "consumers_of",
]

SERVICES = ("storefront", "cart", "catalog", "order", "payment", "identity")
CONSUMERS = ("cart", "catalog", "order", "payment")
"""The services that have a queue, which has their name."""
STORES: Mapping[str, tuple[str, ...]] = {
    "valkey": ("storefront", "cart"),
    "postgres": ("catalog", "order", "payment", "identity"),
}

OLD_SECONDS = 5
"""The age at which an outbox is a backlog: the relay usually takes some milliseconds."""

State = Literal["ok", "warn", "bad", "unknown"]


class Sample(NamedTuple):
    labels: Mapping[str, str]
    value: float


class Curve(NamedTuple):
    """`points` are (Unix time, value)."""

    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Replica:
    """`state` is up, down (it does not answer) or gone (it was there minutes ago)."""

    name: str
    state: Literal["up", "down", "gone"]


@dataclass(slots=True)
class Traffic:
    """Requests, messages or transactions per second, and how many of them failed."""

    rate: float = 0.0
    failed: float = 0.0

    @property
    def pace(self) -> int:
        """From 0, for nothing, to 4: how busy the line is drawn."""
        return 0 if self.rate < 0.001 else bisect_right((0.5, 5, 50), self.rate) + 1


@dataclass(slots=True)
class Service:
    """A service, or the edge. `p95` and `outbox_age` are in seconds; `outbox` counts events that are not published."""

    replicas: list[Replica] = field(default_factory=list)
    traffic: Traffic = field(default_factory=Traffic)
    p95: float | None = None
    outbox: int = 0
    outbox_age: float = 0.0
    broken: bool = False
    """The process answers, but what it serves does not, such as nginx beside its exporter."""

    @property
    def up(self) -> int:
        return sum(each.state == "up" for each in self.replicas)

    @property
    def gone(self) -> int:
        return sum(each.state == "gone" for each in self.replicas)

    @property
    def known(self) -> int:
        return len(self.replicas) - self.gone

    @property
    def state(self) -> State:
        if not self.replicas:
            return "unknown"
        if not self.up or self.broken:
            return "bad"
        complete = self.up == len(self.replicas) and not self.late
        return "ok" if complete and not self.traffic.failed else "warn"

    @property
    def late(self) -> bool:
        """Whether the outbox is a backlog."""
        return self.outbox_age >= OLD_SECONDS


@dataclass(slots=True)
class Queue:
    """`depth` and `dead` count messages: those that wait, and dead letters. `consumed` is false without a consumer."""

    depth: int | None = None
    dead: int | None = None
    consumed: bool | None = None

    @property
    def state(self) -> State:
        if self.consumed is False:
            return "bad"
        if self.dead or (self.depth or 0) >= 100:
            return "warn"
        return "unknown" if self.depth is None else "ok"


@dataclass(slots=True)
class Store:
    """`rate` is in transactions or commands per second."""

    up: bool | None = None
    rate: float | None = None

    @property
    def state(self) -> State:
        return "unknown" if self.up is None else "ok" if self.up else "bad"


@dataclass(slots=True)
class Scene:
    """The shop at a moment. `links` are by (from, to); a queue is named `queue:order`, the provider `provider`.

    `open` and `settled` are by an order's status: how many orders are in it now, and how many reach it in a second.
    `curves` are by name: `orders`, `seconds` and `errors`.
    """

    at: datetime
    services: Mapping[str, Service]
    queues: Mapping[str, Queue]
    stores: Mapping[str, Store]
    links: Mapping[tuple[str, str], Traffic]
    open: Mapping[str, int]
    oldest: Mapping[str, float]
    settled: Mapping[str, float]
    placed: float | None
    seconds: float | None
    unknown_payments: int
    curves: Mapping[str, Sequence[tuple[float, float]]]

    @property
    def measured(self) -> bool:
        return any(each.replicas for each in self.services.values())

    def pace(self, source: str, target: str) -> int:
        """Returns the pace of a line: 0 also if one of its ends is down."""
        traffic = self.links.get((source, target))
        return 0 if traffic is None or self.down(source) or self.down(target) else traffic.pace

    def down(self, part: str) -> bool:
        """Returns whether nothing can pass this end of a line."""
        if part.startswith("queue:"):
            return self.stores["rabbitmq"].state == "bad"
        found = self.services.get(part) or self.stores.get(part)
        return found is not None and found.state == "bad"


def consumers_of(message: str, publisher: str) -> tuple[str, ...]:
    """Returns the services that get a message: a command is named after its only one, a reply goes to order."""
    if message == "order.confirmed.v1":
        return ("catalog", "cart")
    return (message.partition(".")[0],) if publisher == "order" else ("order",)
