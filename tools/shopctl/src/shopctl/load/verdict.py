"""The verdict on a run: what Locust measured, and what the audit found afterwards."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from shopctl.audit.attempts import Journal, read_attempts
from shopctl.audit.finding import Finding
from shopctl.audit.run import check
from shopctl.audit.sources import Addresses
from shopctl.place import Place

__all__ = ["audited", "limited", "read_summary", "verdict"]

LIMITED = "too-many-requests"


def read_summary(folder: Path) -> dict[str, Any] | None:
    """What Locust wrote at the end of its run; None if it did not get that far."""
    file = folder / "summary.json"
    try:
        summary: dict[str, Any] = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return summary


def audited(place: Place, folder: Path, wait: float) -> list[Finding]:
    """Audit the shop with the journal of the run, repeatedly for `wait` seconds. Raises one of UNREADABLE."""
    written = any(folder.glob("attempts*.jsonl"))
    with Journal.of(read_attempts(folder)) if written else nullcontext() as journal:
        return asyncio.run(check(Addresses.of(place), place.services, journal, (), wait))


def verdict(summary: dict[str, Any] | None, findings: Sequence[Finding]) -> tuple[bool, str]:
    """Returns whether the run passes, and one line that says why."""
    reasons = [
        f"{each.invariant}: {how} ({len(objects):,})" for each in findings for how, objects in each.wrong.items()
    ]
    if summary is None:
        reasons.insert(0, "Locust did not end its run")
    else:
        reasons = [*summary["reasons"], *reasons]
    if reasons or summary is None:
        return False, f"FAIL: {'; '.join(reasons)}"
    parts = [f"{summary['orders']:,} orders, none lost, none doubled", *_sale(summary)]
    parts.append(
        f"p95 of reads {summary['kinds']['reads']['p95']:,.0f} ms,"
        f" of orders to CONFIRMED {summary['kinds']['confirmed']['p95']:,.0f} ms"
    )
    parts.append(f"{summary['refused']:,} refused, {summary['failed']:,} failed of {summary['requests']:,} requests")
    return True, f"PASS: {'; '.join(parts)}"


def limited(summary: dict[str, Any] | None) -> int:
    """How many requests the edge refused because its limits were reached."""
    steps = summary["steps"].values() if summary else ()
    return sum(step["refused"].get(LIMITED, 0) for step in steps)


def _sale(summary: dict[str, Any]) -> list[str]:
    sale = summary.get("sale")
    return [f"{sale['sold']:,} of {sale['stock']:,} units sold to {sale['shoppers']:,} shoppers"] if sale else []
