"""A1 and A2: no unit of stock appears or disappears, and reservations equal orders."""

from shopctl.audit.finding import Finding
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
SELECT sku,
    coalesce(restocked.quantity, 0) IS DISTINCT FROM s.available + s.held + s.sold AS leaks,
    s.available < 0 AS oversold,
    coalesce(reserved.held, 0) IS DISTINCT FROM s.held OR coalesce(reserved.sold, 0) IS DISTINCT FROM s.sold AS differs
FROM stock s FULL JOIN restocked USING (sku) FULL JOIN reserved USING (sku)
"""

ORDERED = """
SELECT id, status, string_agg(sku || '=' || quantity, ' ' ORDER BY sku COLLATE "C") AS lines
FROM (
    SELECT id, status, line ->> 'sku' AS sku,
        sum(CASE WHEN line ->> 'quantity' ~ '^[0-9]{1,9}$' THEN (line ->> 'quantity')::bigint END) AS quantity
    FROM orders, json_array_elements(lines) AS line GROUP BY id, line ->> 'sku'
) AS each GROUP BY id, status
"""

RESERVED = """
SELECT order_id, state,
    (SELECT string_agg(sku || '=' || quantity, ' ' ORDER BY sku) FROM reservation_lines l
     WHERE l.order_id = r.order_id) AS lines
FROM reservations r
"""

NOTHING_TAKEN = {"REJECTED", "RELEASED", None}


async def a1(sources: Sources) -> Finding:
    finding = Finding("A1", "stock: restocks = available + held + sold; held and sold = reservations")
    rows = await sources.catalog.fetch(LEVELS)
    finding.counts["SKUs"] = len(rows)
    for how in ("leaks", "oversold", "differs"):
        finding.blame(how, (row["sku"] for row in rows if row[how]))
    return finding


async def a2(sources: Sources) -> Finding:
    """Compare reservations with orders. Of an open order, only the lines are compared."""
    finding = Finding("A2", "reservations: sold if confirmed, none held if failed or undone, lines equal")
    orders = {row["id"]: row for row in await sources.order.fetch(ORDERED)}
    reservations = {row["order_id"]: row for row in await sources.catalog.fetch(RESERVED)}
    finding.counts |= {"orders": len(orders), "reservations": len(reservations)}
    for id, order in orders.items():
        reservation = reservations.get(id)
        state = reservation["state"] if reservation else None
        confirmed, undone = order["status"] == "CONFIRMED", order["status"] in UNDONE
        if confirmed != (state == "SOLD") or (undone and state not in NOTHING_TAKEN):
            finding.blame(f"{order['status']} but {state}", [id])
        lines = reservation["lines"] if reservation else None
        if lines != order["lines"] and (lines or state in ("HELD", "SOLD")):
            finding.blame("lines differ", [id])
    finding.blame("reserved without an order", reservations.keys() - orders.keys())
    return finding
