"""Simulates orders on their way through the processes, with the batches in which they travel.

Each stage gathers orders for `LINGER` seconds and then works on all that wait, one batch at a time. A batch costs each
process a time of its own, mostly for waking up, and a time for each order in it.
"""

import random
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import simpy

from shopctl.models.capacity import LINGER, MOST, SPREAD, Demand

__all__ = ["STAGES", "Result", "simulate"]

STAGES: tuple[tuple[str, Mapping[str, float]], ...] = (
    ("read", {"edge": 1, "cart": 1, "valkey": 1}),
    ("place", {"order": 1 / 3, "postgres": 1 / 6}),
    ("reserve", {"rabbitmq": 1 / 5, "catalog": 1 / 2, "postgres": 1 / 6}),
    ("reserved", {"rabbitmq": 1 / 5, "order": 1 / 3, "postgres": 1 / 6}),
    ("charge", {"rabbitmq": 1 / 5, "payment": 1, "postgres": 1 / 6}),
    ("captured", {"rabbitmq": 1 / 5, "order": 1 / 3, "postgres": 1 / 6}),
    ("sell", {"rabbitmq": 1 / 5, "catalog": 1 / 2, "postgres": 1 / 6}),
)
"""The way of an order, and the share of each process' time that a stage takes: an assumption, equal parts. The order is
CONFIRMED after the last but one."""
AT_ONCE = frozenset({"place"})
"""Stages that take what waits without gathering: carts that were read together are ordered together."""
VARIES = 1.0
"""The shape of the gamma distribution of a batch's time; 1 is exponential."""


@dataclass
class Result:
    """What a simulation found, without its first tenth: seconds from POST to answer and to CONFIRMED, CPU and rate."""

    answered: list[float] = field(default_factory=list)
    confirmed: list[float] = field(default_factory=list)
    cpu: float = 0.0
    """CPU seconds of the shop for one order."""
    rate: float = 0.0
    """Orders confirmed per second."""

    def percentile(self, share: float, answered: bool = False) -> float:
        ordered = sorted(self.answered if answered else self.confirmed)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Order:
    at: float
    answered: simpy.Event


class Shop:
    """The processes, their cores, and the stages between which orders travel."""

    def __init__(
        self,
        demands: Mapping[str, Demand],
        cores: int,
        replicas: int,
        others: float,
        apart: float,
        orders: int,
        seed: int,
    ) -> None:
        self.env, self.chance = simpy.Environment(), random.Random(seed)  # noqa: S311 - the same numbers each time
        self.demands, self.others, self.apart, self.orders = demands, others, apart, orders
        self.cores = simpy.Resource(self.env, cores)
        self.processes = {name: simpy.Resource(self.env, cores if name in SPREAD else replicas) for name in demands}
        self.waiting: list[list[Order]] = [[] for _ in STAGES]
        self.arrived = [self.env.event() for _ in STAGES]
        self.took: list[tuple[float, float]] = []
        self.done: list[float] = []
        self.spent = 0.0
        self.finished = self.env.event()
        for number in range(len(STAGES)):
            for _ in range(replicas):
                self.env.process(self.stage(number))

    def put(self, stage: int, order: Order) -> None:
        self.waiting[stage].append(order)
        if not self.arrived[stage].triggered:
            self.arrived[stage].succeed()

    def stage(self, number: int) -> Generator[simpy.Event, Any, None]:
        while True:
            if not self.waiting[number]:
                self.arrived[number] = self.env.event() if self.arrived[number].triggered else self.arrived[number]
                yield self.arrived[number]
                if STAGES[number][0] not in AT_ONCE:
                    yield self.env.timeout(LINGER)
            batch, self.waiting[number] = self.waiting[number][:MOST], self.waiting[number][MOST:]
            if not batch:
                continue
            yield from self.work(number, len(batch))
            for order in batch:
                self.leave(number, order)

    def work(self, number: int, orders: int) -> Generator[simpy.Event, Any, None]:
        _, shares = STAGES[number]
        for name, share in shares.items():
            mean = share * (self.demands[name].batch + orders * self.demands[name].order)
            seconds = self.chance.gammavariate(VARIES, mean / VARIES)
            self.spent += seconds
            with self.processes[name].request() as process:
                yield process
                yield from self.compute(seconds)
        if self.others:  # the load generator and the provider share the cores
            yield from self.compute(orders * self.others / len(STAGES))

    def compute(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        with self.cores.request() as core:
            yield core
            yield self.env.timeout(seconds)

    def leave(self, number: int, order: Order) -> None:
        name, _ = STAGES[number]
        if name == "place":
            order.answered.succeed(self.env.now - order.at)
        if name == "captured":
            self.took.append((float(order.answered.value or 0.0), self.env.now - order.at))
            self.done.append(self.env.now)
            if len(self.done) == self.orders:
                self.finished.succeed()
        if number + 1 < len(STAGES):
            self.env.process(self.send(number + 1, order))

    def send(self, stage: int, order: Order) -> Generator[simpy.Event, Any, None]:
        """Carry an order to the next stage; from one process to another it takes `apart` seconds."""
        yield self.env.timeout(0 if STAGES[stage][0] in AT_ONCE else self.apart)
        self.put(stage, order)

    def come(self) -> Order:
        order = Order(self.env.now, self.env.event())
        self.put(0, order)
        return order


def simulate(
    demands: Mapping[str, Demand],
    *,
    rate: float | None = None,
    clients: int | None = None,
    orders: int = 1000,
    cores: int = 2,
    replicas: int = 1,
    others: float = 0.0,
    apart: float = 0.0,
    even: bool = True,
    seed: int = 1,
) -> Result:
    """Simulate `orders` orders: `rate` of them a second, or of `clients` that wait for the answer to each.

    Orders come at an even rate, as from the load generator of `make bench`, or at random times. `others` is the CPU
    time an order that the load generator and the provider take on the same cores. A message takes `apart` seconds.
    Raises ValueError unless one of `rate` and `clients` is given.
    """
    if (rate is None) == (clients is None):
        raise ValueError("give a rate or a number of clients")
    shop = Shop(demands, cores, replicas, others, apart, orders, seed)
    env = shop.env

    def visitors() -> Generator[simpy.Event, Any, None]:
        assert rate is not None
        for _ in range(orders):
            shop.come()
            yield env.timeout(1 / rate if even else shop.chance.expovariate(rate))

    def client(own: int) -> Generator[simpy.Event, Any, None]:
        for _ in range(own):
            yield shop.come().answered

    if clients is None:
        env.process(visitors())
    else:
        for number in range(clients):
            env.process(client(orders // clients + (number < orders % clients)))
    env.run(until=shop.finished)
    first = orders // 10
    answered, confirmed = zip(*shop.took[first:], strict=True)
    rated = (orders - first - 1) / (shop.done[-1] - shop.done[first])
    return Result(list(answered), list(confirmed), shop.spent / orders, rated)
