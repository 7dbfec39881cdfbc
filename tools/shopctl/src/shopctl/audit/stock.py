"""A1 and A2: no unit of stock appears or disappears, and reservations equal orders."""

import asyncio

import asyncpg
import msgspec

from shopctl.audit.finding import Finding
from shopctl.audit.scope import Scope
from shopctl.audit.sources import Sources
from shopctl.statuses import UNDONE

__all__ = ["a1", "a2"]

LEVELS = """
WITH reserved AS (
    SELECT sku,
        coalesce(sum(quantity) FILTER (WHERE state = 'HELD'), 0) AS held,
        coalesce(sum(quantity) FILTER (WHERE state = 'SOLD'), 0) AS sold
    FROM reservation_lines JOIN reservations USING (order_id) GROUP BY sku
), restocked AS (SELECT sku, sum(quantity) AS quantity FROM restocks GROUP BY sku)
SELECT count(*) AS skus,
    array_agg(sku) FILTER (
        WHERE coalesce(restocked.quantity, 0) IS DISTINCT FROM s.available + s.held + s.sold
    ) AS leaks,
    array_agg(sku) FILTER (WHERE s.available < 0) AS oversold,
    array_agg(sku) FILTER (
        WHERE coalesce(reserved.held, 0) IS DISTINCT FROM s.held OR coalesce(reserved.sold, 0) IS DISTINCT FROM s.sold
    ) AS differs
FROM stock s FULL JOIN restocked USING (sku) FULL JOIN reserved USING (sku)
"""

ORDERED = "SELECT id, status, lines::text FROM orders WHERE {}"
RESERVED = """
SELECT r.order_id, state, (json_object_agg(sku, quantity) FILTER (WHERE sku IS NOT NULL))::text AS lines
FROM reservations r LEFT JOIN reservation_lines l ON l.order_id = r.order_id AND {} WHERE {} GROUP BY r.order_id
"""

NOTHING_TAKEN = {"REJECTED", "RELEASED", None}


class Line(msgspec.Struct):
    """What of an order's line is reserved."""

    sku: str
    quantity: int


_ordered = msgspec.json.Decoder(list[Line])
_reserved = msgspec.json.Decoder(dict[str, int])


async def a1(sources: Sources) -> Finding:
    finding = Finding("A1", "stock: restocks = available + held + sold; held and sold = reservations")
    (row,) = await sources.catalog.fetch(LEVELS)
    finding.counts["SKUs"] = row["skus"]
    for how in ("leaks", "oversold", "differs"):
        finding.blame(how, row[how] or ())
    return finding


async def a2(sources: Sources, scope: Scope) -> Finding:
    """Compare reservations with orders. Of an open order, only the lines are compared."""
    finding = Finding("A2", "reservations: sold if confirmed, none held if failed or undone, lines equal")
    finding.counts |= {"orders": 0, "reservations": 0}
    for page in scope.orders:
        ordered, reserved = await asyncio.gather(
            sources.order.fetch(ORDERED.format(page.of("id"))),
            sources.catalog.fetch(RESERVED.format(page.of("l.order_id"), page.of("r.order_id"))),
        )
        finding.counts["orders"] += len(ordered)
        finding.counts["reservations"] += len(reserved)
        _compare(finding, ordered, {row["order_id"]: row for row in reserved})
    return finding


def _compare(finding: Finding, orders: list[asyncpg.Record], reservations: dict[object, asyncpg.Record]) -> None:
    for order in orders:
        id, status = order["id"], order["status"]
        reservation = reservations.pop(id, None)
        state = reservation["state"] if reservation else None
        confirmed, undone = status == "CONFIRMED", status in UNDONE
        if confirmed != (state == "SOLD") or (undone and state not in NOTHING_TAKEN):
            finding.blame(f"{status} but {state}", [id])
        lines = _reserved.decode(reservation["lines"] or "{}") if reservation else {}
        if (lines or state in ("HELD", "SOLD")) and lines != _quantities(order["lines"]):
            finding.blame("lines differ", [id])
    finding.blame("reserved without an order", reservations)


def _quantities(lines: str) -> dict[str, int] | None:
    """Return the quantity of each SKU; several lines may have the same. None if the lines are damaged."""
    result: dict[str, int] = {}
    try:
        for line in _ordered.decode(lines):
            result[line.sku] = result.get(line.sku, 0) + line.quantity
    except msgspec.DecodeError:
        return None
    return result
