"""Sums up a run: each step with its times, refusals and failures, from Locust's statistics."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

__all__ = [
    "JOURNEY",
    "ORDERS",
    "REFUSED",
    "UNSETTLED",
    "Entry",
    "Failure",
    "is_outage",
    "is_read",
    "percentile",
    "summarize",
]

JOURNEY = "order to CONFIRMED"
ORDERS = ("order", "page: order")
"""The steps that place an order: with the API, and with the storefront's form."""
NO_READS = ("page: add to cart", "page: file", *ORDERS)
"""Files are static, and so many that they would hide slow pages."""
READS = ("browse", "search", "product", "order status", "history")
REFUSED = ("refused", "later")
"""Types of events: the shop said no, or to come again later. Their names end with the slug."""
UNSETTLED = "unsettled"
"""The type of an event: an order was still watched when its visit was ended. Its time is that until then."""
OUTAGE = "service-unavailable"
"""The edge's slug for a service that does not answer. That is clear, but the shop has failed."""


class Entry(Protocol):
    """What Locust counts of one type and name. `response_times` is a histogram: number by rounded milliseconds."""

    method: str
    name: str
    num_requests: int
    num_failures: int
    max_response_time: int
    response_times: dict[int, int]


class Failure(Protocol):
    """How often one error occurred."""

    method: str
    name: str
    error: Any
    occurrences: int


def percentile(times: Mapping[int, int], share: float) -> float:
    """The time that this share of the values does not exceed (nearest rank); 0 without values."""
    rank, seen = share * sum(times.values()), 0
    for time in sorted(times):
        seen += times[time]
        if seen >= rank:
            return time
    return 0


def is_read(step: str) -> bool:
    """Whether a step only reads, and is not a static file."""
    return step in READS or (step.startswith("page: ") and step not in NO_READS)


def is_outage(entry: Entry) -> bool:
    """Whether these answers came from the edge because a service gave none."""
    return entry.method in REFUSED and entry.name.endswith(f": {OUTAGE}")


def summarize(
    entries: Iterable[Entry], failures: Iterable[Failure], seconds: float, then: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Returns `steps` and `kinds` with their times, and the numbers of `requests`, `orders` and so on.

    A step's times are those of its good and its failed answers; refusals are fast, and only counted. `then` holds the
    requests of each step after `seconds`, when the load ended; by default all of them.
    """
    answered: Counter[str] = Counter()
    times: dict[str, Counter[int]] = defaultdict(Counter)
    longest: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = defaultdict(Counter)
    failed: dict[str, Counter[str]] = defaultdict(Counter)
    later = 0
    for entry in entries:
        if entry.method in REFUSED:
            step, _, slug = entry.name.rpartition(": ")
            if is_outage(entry):
                failed[step][f"503 {slug}"] += entry.num_requests
                answered[step] += entry.num_requests
                continue
            refused[step][slug] += entry.num_requests
            later += entry.num_requests if entry.method == "later" else 0
        else:
            if entry.method == UNSETTLED:
                refused[entry.name]["not settled at the end"] += entry.num_requests
            else:
                answered[entry.name] += entry.num_requests
            times[entry.name].update(entry.response_times)
            longest[entry.name] = max(longest[entry.name], round(entry.max_response_time))
    for failure in failures:
        failed[failure.name][str(failure.error)] += failure.occurrences
    steps = {
        step: {
            "requests": (requests := answered[step] + refused[step].total()),
            "per_second": (requests if then is None else then.get(step, 0)) / max(seconds, 1e-3),
            **_percentiles(times[step]),
            "max": longest[step],
            "refused": dict(refused[step]),
            "failed": dict(failed[step]),
        }
        for step in sorted({*answered, *refused})
    }
    sent = [name for name in steps if name != JOURNEY]
    return {
        "seconds": seconds,
        "steps": steps,
        "kinds": {
            "reads": _percentiles(sum((times[step] for step in steps if is_read(step)), Counter())),
            "order": _percentiles(sum((times[step] for step in ORDERS), Counter())),
            "confirmed": _percentiles(times[JOURNEY]),
        },
        "requests": sum(steps[step]["requests"] for step in sent),
        "refused": sum(refused[step].total() for step in sent),
        "later": later,
        "failed": sum(failed[step].total() for step in steps),
        "orders": sum(answered[step] - failed[step].total() for step in ORDERS),
        "confirmed": answered[JOURNEY] - failed[JOURNEY].total(),
    }


def _percentiles(times: Mapping[int, int]) -> dict[str, float]:
    return {f"p{share}": percentile(times, share / 100) for share in (50, 95, 99)}
