"""A3 and A9: the captured money is the money owed, taken once, in whole minor units."""

from collections import Counter, defaultdict

from shopctl.audit.finding import Finding
from shopctl.audit.sources import Sources

__all__ = ["a3", "a9"]

SANDBOX = "psp"
# How often the amount was captured and refunded in each state of a payment. The other states are undecided.
SETTLED = {"CAPTURED": (1, 0), "REFUNDED": (1, 1), "REFUNDING": (1, 0), "FAILED": (0, 0), "CANCELLED": (0, 0)}

SUMS = """
SELECT id, total,
    bool_and(coalesce(line ->> 'quantity' ~ '^[1-9][0-9]{0,8}$'
        AND line #>> '{unit_price,amount}' ~ '^[0-9]{1,15}$'
        AND line #>> '{unit_price,currency}' = currency, false)) AS whole,
    sum(CASE WHEN line ->> 'quantity' ~ '^[0-9]{1,9}$' AND line #>> '{unit_price,amount}' ~ '^[0-9]{1,15}$'
        THEN (line ->> 'quantity')::numeric * (line #>> '{unit_price,amount}')::numeric END) AS sum
FROM orders LEFT JOIN LATERAL json_array_elements(lines) AS line ON true GROUP BY id
"""


async def a3(sources: Sources) -> Finding:
    """Compare orders, payments and the sandbox provider's ledger.

    The ledger of another provider is not read. Its payments are taken as they are recorded and compared with their
    orders, and the title contains their number.
    """
    finding = Finding("A3", "provider: at most one capture, net = total if confirmed, otherwise 0; payments agree")
    orders = {
        str(row["id"]): (row["total"] if row["status"] == "CONFIRMED" else 0, row["total"], row["currency"])
        for row in await sources.order.fetch("SELECT id, status, total, currency FROM orders")
    }
    payments = {
        str(row["order_id"]): row
        for row in await sources.payment.fetch("SELECT order_id, state, amount, currency, provider FROM payments")
    }
    captures: Counter[str] = Counter()
    captured: dict[str, int] = defaultdict(int)
    refunded: dict[str, int] = defaultdict(int)
    ledger = await sources.ledger()
    for entry in ledger:
        id = entry["order_id"]
        if entry["kind"] == "capture":
            captures[id] += 1
            captured[id] += entry["amount"]
        else:
            refunded[id] += entry["amount"]
        if id in orders and entry["currency"] != orders[id][2]:
            finding.blame("currency differs from the order's", [id])
    finding.counts |= {"orders": len(orders), "payments": len(payments), "ledger entries": len(ledger)}

    unchecked: Counter[str] = Counter()
    for id, row in payments.items():
        if row["provider"] not in (SANDBOX, None):  # None: cancelled before any provider was asked
            unchecked[row["provider"]] += 1
            times = SETTLED.get(row["state"], (0, 0))
            captured[id] += times[0] * (row["amount"] or 0)
            refunded[id] += times[1] * (row["amount"] or 0)
    for provider, count in unchecked.items():
        finding.title += f"; NOT compared with {provider}: {count:,} payments"

    finding.blame("captured more than once", (id for id, count in captures.items() if count > 1))
    finding.blame("money without an order", (captured.keys() | refunded.keys()) - orders.keys())
    for id, (owed, _, _) in orders.items():
        if (net := captured.get(id, 0) - refunded.get(id, 0)) != owed:
            finding.blame(f"net {'above' if net > owed else 'below'} what is owed", [id])
    finding.blame("captured without a payment", captured.keys() - payments.keys())
    finding.blame("paid without an order", payments.keys() - orders.keys())
    for id, row in payments.items():
        if row["amount"] is not None and id in orders and (row["amount"], row["currency"]) != orders[id][1:]:
            finding.blame("amount differs from the order's", [id])
        if row["state"] in SETTLED:
            times = SETTLED[row["state"]]
            amount = row["amount"] or 0
            if (captured.get(id, 0), refunded.get(id, 0)) != (times[0] * amount, times[1] * amount):
                finding.blame(f"{row['state']}, but the ledger differs", [id])
    return finding


async def a9(sources: Sources) -> Finding:
    """Compares each order's total with its lines."""
    finding = Finding("A9", "totals: whole minor units, total = Σ quantity × price")
    rows = await sources.order.fetch(SUMS)
    finding.counts["orders"] = len(rows)
    finding.blame("not whole units of the order's currency", (row["id"] for row in rows if not row["whole"]))
    finding.blame("total differs from its lines", (row["id"] for row in rows if row["total"] != row["sum"]))
    return finding
