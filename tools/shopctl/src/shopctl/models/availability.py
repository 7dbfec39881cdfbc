"""How much of the time the shop can take an order. Times are in seconds; an availability is a share from 0 to 1."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = [
    "DAY",
    "MONTH",
    "Part",
    "availability",
    "budget_used",
    "downtime",
    "drain_risk",
    "k_of_n",
    "parallel",
    "redundant",
    "series",
]

DAY = 86_400.0
MONTH = 30 * DAY
"""The period of the shop's objectives (docs/slo.md)."""


def availability(between: float, repair: float) -> float:
    """MTBF / (MTBF + MTTR), for a mean time between failures and a mean time to repair in seconds.

    Raises ValueError if `between` is not positive or `repair` is negative. Source: R. E. Barlow, F. Proschan, 1965,
    "Mathematical Theory of Reliability".
    """
    if between <= 0 or repair < 0:
        raise ValueError("a mean time between failures is positive, and a mean time to repair not negative")
    return between / (between + repair)


def series(parts: Iterable[float]) -> float:
    """The availability of something that needs all of its parts, which fail independently."""
    return math.prod(parts)


def parallel(part: float, number: int) -> float:
    """The availability of something that needs one of `number` equal parts, which fail independently."""
    return k_of_n(1, number, part)


def k_of_n(needed: int, number: int, part: float) -> float:
    """The availability of something that needs `needed` of `number` equal parts, such as a quorum of 2 of 3.

    Raises ValueError unless 0 ≤ needed ≤ number and 0 ≤ part ≤ 1.
    """
    if not (0 <= needed <= number and 0 <= part <= 1):
        raise ValueError("needed is from 0 to number, and an availability from 0 to 1")
    up = (math.comb(number, each) * part**each * (1 - part) ** (number - each) for each in range(needed, number + 1))
    return min(1.0, sum(up))


def redundant(between: float, repair: float, switch: float, number: int) -> float:
    """The availability of `number` replicas, each with its own failures, if a failure is felt for `switch` seconds.

    All are down together for the share that `parallel` leaves. In addition, each failure of one replica is felt until
    the others have taken over. With one replica, a failure is felt until the repair.
    """
    if number == 1:
        return availability(between, repair)
    felt = number * min(switch, repair) / between
    return max(0.0, parallel(availability(between, repair), number) - felt)


def downtime(share: float, period: float = MONTH) -> float:
    """The seconds of `period` in which something with this availability is not available."""
    return (1 - share) * period


def budget_used(share: float, objective: float) -> float:
    """How much of the error budget is used: 1 is all of it.

    Source: B. Beyer et al., 2018, "The Site Reliability Workbook", chapter 2.
    """
    return (1 - share) / (1 - objective)


def drain_risk(between: float, drain: float, others: int) -> float:
    """The probability that none of the `others` replicas survives a drain of `drain` seconds.

    A disruption budget of one takes replicas one at a time, so the others serve meanwhile. Their failures are
    independent, with a constant rate: each fails with the probability 1 − e^(−drain/MTBF).
    """
    return (1 - math.exp(-drain / between)) ** others


@dataclass(frozen=True)
class Part:
    """A kind of failure. `repair` is what shoppers feel with one replica, `switch` with several; both in seconds.

    `between` is an assumption, in seconds: how often it happens, to one replica. A part that cannot have several
    replicas has no `switch`.
    """

    name: str
    between: float
    repair: float
    switch: float | None

    def availability(self, replicas: int) -> float:
        if self.switch is None:
            return availability(self.between, self.repair)
        return redundant(self.between, self.repair, self.switch, replicas)
