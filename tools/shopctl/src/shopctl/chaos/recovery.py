"""How shoppers fared with a fault: outage, failures, recovery. docs/chaos.md explains the definitions to readers.

A fault begins when its injection begins, and ends when it is undone, such as when a killed process is ready again. It
is watched until the next fault begins or the traffic pauses.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from statistics import median
from typing import NamedTuple

from shopctl.chaos.timeline import Interval, Recovery

__all__ = ["JOURNEY", "Request", "intervals", "limits", "recovery"]

JOURNEY = "order to CONFIRMED"
"""The step that is not a request, but an order's way."""
SETTLED = 3.0
"""Seconds during which answers must be as before."""
SHARE = 0.95
"""The share of these answers that must be as before."""
SLOWER, MARGIN = 3.0, 100.0
"""An answer is as before up to this many times the usual time of its step, plus this many milliseconds."""
MOST_INTERVALS = 300


GOOD = ("ok", "refused")
"""Outcomes of requests that the shop answered as it should: 409 is an ordinary answer, unlike `later` and `failed`."""


class Request(NamedTuple):
    """A request of a shopper: when it was sent, in seconds, how many ms the answer took, and its outcome."""

    at: float
    step: str
    ms: float
    outcome: str

    @property
    def end(self) -> float:
        return self.at + self.ms / 1000


def limits(undisturbed: Iterable[Request]) -> dict[str, float]:
    """Up to how many ms an answer of each step counts as usual: SLOWER medians of undisturbed answers, plus MARGIN."""
    times = defaultdict[str, list[float]](list)
    for each in undisturbed:
        if each.outcome in GOOD:
            times[each.step].append(each.ms)
    return {step: SLOWER * median(found) + MARGIN for step, found in times.items()}


def recovery(
    requests: Sequence[Request],
    confirmed: Sequence[float],
    at: float,
    until: float,
    end: float,
    usual: Mapping[str, float],
) -> Recovery:
    """What happened from the begin of a fault, through its end at `until`, to `end`, when it was no longer watched.

    `requests` are sorted by their end, `confirmed` are the sorted times at which orders became CONFIRMED, and `usual`
    is from `limits`.
    """
    first = bisect_left(requests, at, key=lambda each: each.end)
    seen = [_until(end, each) for each in requests[first:] if each.at < end and each.step != JOURNEY]
    step, outage = max(outages(seen, at, end).items(), key=lambda each: each[1], default=("", 0.0))
    after = confirmed[bisect_left(confirmed, until) :]
    return Recovery(
        outage=round(outage, 3),
        step=step,
        failed=sum(each.outcome == "failed" for each in seen),
        refused=sum(each.outcome == "later" for each in seen),
        answering=_rounded(answering([each for each in seen if each.end >= until], until, end, usual)),
        confirming=_rounded(after[0] - until if after and after[0] <= end else None),
        watched=round(end - until, 3),
    )


def _until(end: float, request: Request) -> Request:
    """The request as it is known at `end`: it may still wait."""
    return request if request.end <= end else request._replace(ms=(end - request.at) * 1000, outcome="waits")


def outages(requests: Sequence[Request], begin: float, end: float) -> dict[str, float]:
    """For each step, the longest time in which at least one shopper waited for it and none got a good answer.

    It lasts from the moment at which the first of these requests was sent, or from the last good answer, to the next
    good answer.
    """
    steps = defaultdict[str, list[Request]](list)
    for each in requests:
        steps[each.step].append(each)
    return {step: _outage(asked, begin, end) for step, asked in steps.items()}


def _outage(asked: Sequence[Request], begin: float, end: float) -> float:
    earliest = [*accumulate((each.at for each in reversed(asked)), min)][::-1]  # sent, of this and all later answers
    longest, last, next_one = 0.0, begin, 0
    for number, each in enumerate(asked):
        if each.outcome in GOOD:
            longest = max(longest, each.end - max(last, earliest[next_one]))
            last, next_one = each.end, number + 1
    return max(longest, end - max(last, earliest[next_one])) if next_one < len(asked) else longest


def answering(requests: Sequence[Request], begin: float, end: float, usual: Mapping[str, float]) -> float | None:
    """Seconds from `begin` until answers are as before, or None if that is not seen until `end`.

    It is the first moment after which, for SETTLED seconds, there are answers, and SHARE of them are good and no
    slower than usual. Only `begin` and the end of each worse answer can be that moment, or the next answer if there is
    none for as long.
    """
    ends = [each.end for each in requests]
    bad = [each.outcome not in GOOD or each.ms > usual.get(each.step, float("inf")) for each in requests]
    for moment in [begin, *(at for at, worse in zip(ends, bad, strict=True) if worse)]:
        first = bisect_left(ends, moment) if moment == begin else bisect_left(ends, moment) + 1
        if first < len(ends) and ends[first] >= moment + SETTLED:
            moment = ends[first]
        if moment + SETTLED > end:
            break
        window = bad[first : bisect_left(ends, moment + SETTLED)]
        if window and sum(window) <= (1 - SHARE) * len(window):
            return moment - begin
    return None


def intervals(requests: Sequence[Request], confirmed: Sequence[float], length: float) -> tuple[float, list[Interval]]:
    """Counts of a run of `length` seconds for each interval, and the intervals' width: seconds, at most 300 of them."""
    width = float(max(1, -(-int(length + 1) // MOST_INTERVALS)))
    answers = defaultdict[int, list[Request]](list)
    for each in requests:
        if each.step != JOURNEY:
            answers[int(each.end // width)].append(each)
    orders = defaultdict[int, int](int)
    for at in confirmed:
        orders[int(at // width)] += 1
    found = []
    for number in range(int(length // width) + 1):
        of = answers[number]
        good = sorted(each.ms for each in of if each.outcome in GOOD)
        refused, failed = (sum(each.outcome == outcome for each in of) for outcome in ("later", "failed"))
        p50, p95 = _at(good, 0.5), _at(good, 0.95)
        found.append(Interval(number * width, len(good), refused, failed, orders[number], p50, p95))
    return width, found


def _at(times: Sequence[float], share: float) -> float | None:
    return round(times[min(len(times) - 1, int(share * len(times)))], 1) if times else None


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
