"""Judges a run: compares its summary with thresholds, and gives the reasons why it fails."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import inf
from typing import Any

__all__ = ["THRESHOLDS", "Thresholds", "judge", "thresholds"]

NO_ANSWER = "no answer"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of a run. THRESHOLDS in the environment changes some, such as `reads_p95=300,failed=0`.

    Times are in milliseconds, except `recovery`, which is in seconds.
    """

    failed: float = 0.001
    """The largest share of failed requests, from 0 to 1."""
    reads_p95: float = 500
    order_p95: float = 1_000
    confirmed_p95: float = 3_000
    orders: float = 1
    """The least number of accepted orders."""
    confirmed: float = 1
    """The least number of orders that became CONFIRMED."""
    later: float = inf
    """The largest share of requests to which the shop answered that the shopper is to come again later."""
    refused_reads_p95: float = 1_000
    """double11: p95 of reads while buyers are refused."""
    recovery: float = 10
    """double11: seconds after the last hunter until hardly anything fails or is to come later, and reads are fast."""


THRESHOLDS: Mapping[str, Thresholds] = {
    "steady": Thresholds(later=0.01),
    "soak": Thresholds(later=0.01),
    # These bring the shop to its limit or beyond. It may be slow there, and it may refuse, but nothing may fail.
    "ramp": Thresholds(reads_p95=1_000, order_p95=3_000, confirmed_p95=15_000),
    "spike": Thresholds(reads_p95=1_000, order_p95=3_000, confirmed_p95=15_000),
    "double11": Thresholds(reads_p95=1_000, order_p95=10_000, confirmed_p95=30_000),
}


def thresholds(shape: str, changes: str = "") -> Thresholds:
    """Returns the thresholds of a shape with `changes`, such as `reads_p95=300,failed=0`. Raises ValueError."""
    limits = THRESHOLDS.get(shape, Thresholds())
    for change in filter(None, changes.replace(",", " ").split()):
        name, _, value = change.partition("=")
        try:
            limits = replace(limits, **{name: float(value)})
            valid = float(value) >= 0
        except (TypeError, ValueError):
            valid = False
        if not valid:
            names = ", ".join(each.name for each in fields(Thresholds))
            raise ValueError(f"THRESHOLDS: {change!r} must be like reads_p95=300. There are {names}.")
    return limits


def judge(summary: Mapping[str, Any], limits: Thresholds) -> list[str]:
    """Returns why the run fails, a sentence for each reason; an empty list if it passes."""
    kinds, orders = summary["kinds"], summary["orders"]
    reasons = []
    share = summary["failed"] / summary["requests"] if summary["requests"] else 1.0
    if not summary["requests"]:
        reasons.append("no request was answered")
    elif share > limits.failed:
        reasons.append(f"{share:.2%} of the requests failed (at most {limits.failed:.2%})")
    if (later := summary["later"] / max(1, summary["requests"])) > limits.later:
        reasons.append(f"{later:.2%} of the requests were to come later (at most {limits.later:.2%})")
    for kind, what, limit in (
        ("reads", "reads", limits.reads_p95),
        ("order", "orders", limits.order_p95),
        ("confirmed", "orders to CONFIRMED", limits.confirmed_p95),
    ):
        if kinds[kind]["p95"] > limit:
            reasons.append(f"p95 of {what} is {kinds[kind]['p95']:,.0f} ms (at most {limit:,.0f} ms)")
    if orders < limits.orders:
        reasons.append(f"{orders:,} orders (at least {limits.orders:,.0f})")
    if summary["confirmed"] < limits.confirmed:
        reasons.append(f"{summary['confirmed']:,} orders became CONFIRMED (at least {limits.confirmed:,.0f})")
    for step in summary["steps"].values():
        reasons += [f"{error}: was not refused" for error in step["failed"] if error.startswith("hostile: ")]
    reasons += summary.get("errors", ())
    return reasons + (_sale(summary["sale"], limits) if summary.get("sale") else [])


def _sale(sale: Mapping[str, Any], limits: Thresholds) -> list[str]:
    reasons = []
    if (found := sale["sold"] + sale["held"] + sale["available"]) != sale["stock"] or sale["available"] < 0:
        parts = ", ".join(f"{sale[part]:,} {part}" for part in ("sold", "held", "available"))
        reasons.append(f"{found:,} units of {sale['stock']:,}: {parts}")
    answered = sum(count for outcome, count in sale["outcomes"].items() if outcome != NO_ANSWER)
    if silent := sale["shoppers"] - answered:
        reasons.append(f"{silent:,} of {sale['shoppers']:,} shoppers got no answer")
    if sale["refused_reads_p95"] > limits.refused_reads_p95:
        took, most = sale["refused_reads_p95"], limits.refused_reads_p95
        reasons.append(f"p95 of reads is {took:,.0f} ms while buyers are refused (at most {most:,.0f} ms)")
    if sale["recovery"] > limits.recovery:
        reasons.append(
            f"the shop recovered {sale['recovery']:.0f} s after the last hunter (at most {limits.recovery:g} s)"
        )
    return reasons
