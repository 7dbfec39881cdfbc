"""A3 and A9: the captured money is the money owed, taken once, in whole minor units."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Annotated

import asyncpg
import msgspec

from shopctl.audit.finding import Finding
from shopctl.audit.ledger import Entry, Ledger
from shopctl.audit.scope import Page, Scope
from shopctl.audit.sources import Sources

__all__ = ["a3", "a9"]

SANDBOX = "psp"
# How often the amount was captured and refunded in each state of a payment. The other states are undecided.
SETTLED = {"CAPTURED": (1, 0), "REFUNDED": (1, 1), "REFUNDING": (1, 0), "FAILED": (0, 0), "CANCELLED": (0, 0)}

ORDERS = "SELECT id::text, status, total, currency FROM orders WHERE {}"
PAYMENTS = "SELECT order_id::text, state, amount, currency, provider FROM payments WHERE {}"
TOTALS = "SELECT id, total, currency, lines::text FROM orders WHERE {}"


class Price(msgspec.Struct):
    """Whole minor units."""

    amount: Annotated[int, msgspec.Meta(ge=0, lt=10**15)]
    currency: str


class Line(msgspec.Struct):
    """What of an order's line is paid."""

    quantity: Annotated[int, msgspec.Meta(ge=1, lt=10**9)]
    unit_price: Price


_lines = msgspec.json.Decoder(list[Line])


async def a3(sources: Sources, scope: Scope) -> Finding:
    """Compare orders, payments and the sandbox provider's ledger.

    The ledger of another provider is not read. Its payments are taken as they are recorded and compared with their
    orders, and the title contains their number.
    """
    finding = Finding("A3", "provider: at most one capture, net = total if confirmed, otherwise 0; payments agree")
    unchecked: Counter[str] = Counter()
    with Ledger.opened() as ledger:
        more = await ledger.read(sources, scope)
        finding.counts |= {"orders": 0, "payments": 0, "ledger entries": len(ledger)}
        for page in (*scope.orders, *Page.some(more - scope.changed)):
            orders, payments = await asyncio.gather(
                sources.order.fetch(ORDERS.format(page.of("id"))),
                sources.payment.fetch(PAYMENTS.format(page.of("order_id"))),
            )
            finding.counts["orders"] += len(orders)
            finding.counts["payments"] += len(payments)
            unchecked += _compare(finding, orders, payments, ledger.of(page))
    for provider, count in unchecked.items():
        finding.title += f"; NOT compared with {provider}: {count:,} payments"
    return finding


def _compare(
    finding: Finding,
    ordered: Iterable[asyncpg.Record],
    paid: Iterable[asyncpg.Record],
    entries: Iterable[Entry],
) -> Counter[str]:
    """Compare the orders of a page; return the number of payments of each provider whose ledger is not read."""
    orders = {
        row["id"]: (row["total"] if row["status"] == "CONFIRMED" else 0, row["total"], row["currency"])
        for row in ordered
    }
    payments = {row["order_id"]: row for row in paid}
    captures: Counter[str] = Counter()
    captured: dict[str, int] = defaultdict(int)
    refunded: dict[str, int] = defaultdict(int)
    for id, kind, amount, currency in entries:
        if kind == "capture":
            captures[id] += 1
            captured[id] += amount
        else:
            refunded[id] += amount
        if id in orders and currency != orders[id][2]:
            finding.blame("currency differs from the order's", [id])

    unchecked: Counter[str] = Counter()
    for id, row in payments.items():
        if row["provider"] not in (SANDBOX, None):  # None: cancelled before any provider was asked
            unchecked[row["provider"]] += 1
            times = SETTLED.get(row["state"], (0, 0))
            captured[id] += times[0] * (row["amount"] or 0)
            refunded[id] += times[1] * (row["amount"] or 0)
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
    return unchecked


async def a9(sources: Sources, scope: Scope) -> Finding:
    """Compare each order's total with its lines."""
    finding = Finding("A9", "totals: whole minor units, total = Σ quantity × price")
    finding.counts["orders"] = 0
    for page in scope.orders:
        rows = await sources.order.fetch(TOTALS.format(page.of("id")))
        finding.counts["orders"] += len(rows)
        for row in rows:
            if (total := _total(row["lines"], row["currency"])) is None:
                finding.blame("not whole units of the order's currency", [row["id"]])
            elif total != row["total"]:
                finding.blame("total differs from its lines", [row["id"]])
    return finding


def _total(lines: str, currency: str) -> int | None:
    """Return the sum of the lines; None if a price or a quantity is no whole number, or in another currency."""
    try:
        found = _lines.decode(lines)
    except msgspec.DecodeError:
        return None
    if not found or any(line.unit_price.currency != currency for line in found):
        return None
    return sum(line.quantity * line.unit_price.amount for line in found)
