"""A5, A8 and A10: no order is stuck or changed in the past; no transaction is idle."""

import heapq
from collections import Counter
from typing import Any

import asyncpg
import msgspec

from shopctl.audit.finding import Finding
from shopctl.audit.scope import Scope
from shopctl.audit.sources import Sources
from shopctl.statuses import LEGAL, OPEN

__all__ = ["a5", "a8", "a10"]

SAMPLE = 200
"""How many orders are read over HTTP."""

HISTORY = """
SELECT count(*) AS orders, array_agg(id) FILTER (WHERE gap) AS gaps,
    array_agg(id) FILTER (WHERE differs AND NOT gap) AS differ
FROM (
    SELECT o.id, coalesce(count(h.seq) <> o.seq OR min(h.seq) <> 1 OR max(h.seq) <> o.seq, true) AS gap,
        (array_agg(h.status ORDER BY h.seq DESC))[1] IS DISTINCT FROM o.status AS differs
    FROM orders o LEFT JOIN order_history h ON h.order_id = o.id AND {} WHERE {} GROUP BY o.id
) AS history
"""

STEPS = """
SELECT before, status, count(*) AS times, min(order_id::text) AS example FROM (
    SELECT order_id, lag(status) OVER (PARTITION BY order_id ORDER BY seq) AS before, status,
        lag(seq, 1, 0) OVER (PARTITION BY order_id ORDER BY seq) = seq - 1 AS adjacent
    FROM order_history WHERE {}
) AS step WHERE adjacent GROUP BY before, status
"""

VIEWS = """
SELECT id, md5(id::text) AS chance, status, total, currency, lines::text,
    (SELECT json_agg(json_build_array(seq, status, reason) ORDER BY seq) FROM order_history
     WHERE order_id = id)::text AS history
FROM orders WHERE {} ORDER BY chance LIMIT $1
"""


async def a5(sources: Sources) -> Finding:
    finding = Finding("A5", "expiry: no order is open more than a minute past its expiry")
    rows = await sources.order.fetch(
        "SELECT id, expires_at < now() - interval '1 minute' AS late FROM orders WHERE status = ANY ($1::text[])",
        OPEN,
    )
    finding.counts["open orders"] = len(rows)
    finding.blame("open past its expiry", (row["id"] for row in rows if row["late"]))
    return finding


async def a8(sources: Sources, scope: Scope) -> Finding:
    finding = Finding("A8", "history: no gaps, only legal steps; HTTP returns what the database holds")
    orders = 0
    steps: Counter[bool] = Counter()
    some: list[asyncpg.Record] = []
    for page in scope.orders:
        (row,) = await sources.order.fetch(HISTORY.format(page.of("h.order_id"), page.of("o.id")))
        orders += row["orders"]
        finding.blame("history has gaps", row["gaps"] or ())
        finding.blame("status differs from its history", row["differ"] or ())
        for step in await sources.order.fetch(STEPS.format(page.of("order_id"))):
            legal = step["status"] in LEGAL.get(step["before"], ())
            steps[legal] += step["times"]
            if not legal:
                finding.blame(f"{step['before']} → {step['status']}", [step["example"]])
        share = -(-SAMPLE // len(scope.orders))
        some += await sources.order.fetch(VIEWS.format(page.of("id")), share)
    sample = {str(row["id"]): row for row in heapq.nsmallest(SAMPLE, some, key=lambda row: row["chance"])}
    for view in await sources.views(sample):
        if _shown(view) != _stored(sample[view["id"]]):
            finding.blame("HTTP returns something else", [view["id"]])
    finding.counts |= {"orders": orders, "steps": steps.total(), "read over HTTP": len(sample)}
    return finding


def _shown(view: dict[str, Any]) -> tuple[object, ...]:
    history = [[step["seq"], step["status"], step.get("reason")] for step in view["history"]]
    return view["status"], view["total"], view["lines"], history


def _stored(row: asyncpg.Record) -> tuple[object, ...]:
    total = {"amount": row["total"], "currency": row["currency"]}
    return row["status"], total, msgspec.json.decode(row["lines"]), msgspec.json.decode(row["history"] or "[]")


async def a10(sources: Sources) -> Finding:
    finding = Finding("A10", "sessions: none idle in a transaction for more than 5 s")
    finding.counts["sessions"] = 0
    for connection in sources.databases.values():
        rows = await connection.fetch(
            "SELECT application_name || ' ' || pid AS session,"
            " state LIKE 'idle in transaction%' AND state_change < now() - interval '5 seconds' AS idle"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        finding.counts["sessions"] += len(rows)
        finding.blame("idle in transaction", (row["session"] for row in rows if row["idle"]))
    return finding
