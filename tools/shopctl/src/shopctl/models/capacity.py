"""How many orders a second the shop can take, what limits it first, and what a million orders cost.

CPU times are in seconds, rates in orders per second, unless a name says otherwise.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "LINGER",
    "MOST",
    "Demand",
    "Limit",
    "cost",
    "fitted",
    "gathered",
    "limits",
    "little",
    "partitioned",
    "partitions_of",
]

LINGER = 0.025
"""Seconds for which POSTs and messages are gathered (`chassis.batching`, `chassis.relay`)."""
MOST = 64
"""Orders in one transaction of the order service, at most."""
SPREAD = frozenset({"postgres", "rabbitmq"})
"""Processes that use more than one core."""


@dataclass(frozen=True)
class Demand:
    """The CPU seconds that a process needs for a batch of orders on its whole way, and for each order in it."""

    batch: float
    order: float

    def each(self, orders: float) -> float:
        """CPU seconds for one order, if batches hold `orders`."""
        return self.order + self.batch / orders


def fitted(observed: Sequence[tuple[float, float]]) -> Demand:
    """The demand that fits (orders in a batch, CPU seconds for an order) best: least squares of the relative errors.

    Neither part is negative. Raises ValueError with fewer than two observations, or without CPU time.
    """
    if len(observed) < 2 or any(size <= 0 or seconds <= 0 for size, seconds in observed):
        raise ValueError("there are at least two observations, each with a batch and CPU time")
    rows = [(1 / size / seconds, 1 / seconds) for size, seconds in observed]
    bb, oo = sum(b * b for b, _ in rows), sum(o * o for _, o in rows)
    bo, b1, o1 = sum(b * o for b, o in rows), sum(b for b, _ in rows), sum(o for _, o in rows)
    determinant = bb * oo - bo * bo
    if determinant > 1e-12 * bb * oo:
        batch, order = (b1 * oo - o1 * bo) / determinant, (o1 * bb - b1 * bo) / determinant
        if batch >= 0 and order >= 0:
            return Demand(batch, order)
    only_order, only_batch = Demand(0.0, o1 / oo), Demand(b1 / bb, 0.0)
    return min(only_order, only_batch, key=lambda one: sum((one.each(n) / cpu - 1) ** 2 for n, cpu in observed))


def gathered(rate: float) -> float:
    """Orders in a batch, if they come at an even rate and the first waits LINGER seconds for others."""
    return float(min(MOST, 1 + math.floor(rate * LINGER + 1e-9)))


def little(rate: float, seconds: float) -> float:
    """The orders in progress: L = λR. Source: J. D. C. Little, 1961, "A proof for the queuing formula: L = λW"."""
    return rate * seconds


@dataclass(frozen=True)
class Limit:
    """The orders a second at which something is used up."""

    name: str
    rate: float


def limits(demands: Mapping[str, Demand], cores: float, replicas: int, orders: float = MOST) -> list[Limit]:
    """What limits the rate, the lowest first. By the utilisation law U = XD, a core is used up at X = 1/D.

    A process uses one core at most, unless it is in SPREAD; all of them share `cores`. Source: P. J. Denning,
    J. P. Buzen, 1978, "The operational analysis of queueing network models".
    """
    found = [Limit("all cores", cores / sum(each.each(orders) for each in demands.values()))]
    found += [Limit(name, replicas / each.each(orders)) for name, each in demands.items() if name not in SPREAD]
    return sorted(found, key=lambda limit: limit.rate)


def cost(cores: float, memory: float, core_hour: float, gib_hour: float, rate: float) -> float:
    """The price of a million orders at a rate, in the currency of the prices; cores and GiB are paid all the time."""
    return 1e6 / (3600 * rate) * (cores * core_hour + memory * gib_hour)


def partitioned(demands: Mapping[str, Demand], lines: int, partitions: int) -> dict[str, Demand]:
    """The demands if the stock has so many partitions: an order then costs the catalog and the broker more messages.

    Two of its five messages go to the catalog. This is an upper bound: each partition is taken to do as much as for a
    whole order.
    """
    times = partitions_of(lines, partitions)
    more = {"catalog": times, "rabbitmq": (3 + 2 * times) / 5}
    return {
        name: Demand(each.batch * more.get(name, 1), each.order * more.get(name, 1)) for name, each in demands.items()
    }


def partitions_of(lines: int, partitions: int) -> float:
    """How many partitions of the stock an order with `lines` SKUs touches on average: k(1 − (1 − 1/k)^n).

    SKUs are spread by a hash, so each line is in any partition with the same probability.
    """
    return partitions * (1 - (1 - 1 / partitions) ** lines)
