"""Queries for stock, restocks and reservations.

All transactions take locks in the same order: inbox, reservations, stock, and within each by key. So they cannot
deadlock.
"""

from collections.abc import Collection, Mapping
from uuid import UUID

import msgspec

from catalog.models import Level, Reservation, State
from chassis.db import Connection

__all__ = [
    "add_lines",
    "add_restock",
    "claim",
    "lines_of",
    "lock_levels",
    "lock_reservations",
    "set_states",
    "sold_out",
    "write_levels",
]

_skus = msgspec.json.Decoder(tuple[str, ...])


async def claim(tx: Connection, orders: Collection[UUID], state: State) -> set[UUID]:
    """Inserts reservations for the orders that have none, and returns these orders.

    Waits for another transaction that inserts the same one. The keys are sorted, so two transactions cannot deadlock.
    """
    rows = await tx.fetch(
        "INSERT INTO reservations (order_id, state) SELECT unnest($1::uuid[]), $2"
        " ON CONFLICT DO NOTHING RETURNING order_id",
        sorted(orders),
        state,
    )
    return {row["order_id"] for row in rows}


async def lock_reservations(tx: Connection, orders: Collection[UUID]) -> dict[UUID, Reservation]:
    """Locks and returns the reservations of these orders, as far as they have one."""
    if not orders:
        return {}
    rows = await tx.fetch(
        "SELECT order_id, state, reason, skus FROM reservations WHERE order_id = ANY ($1::uuid[])"
        " ORDER BY order_id FOR UPDATE",
        list(orders),
    )
    return {row["order_id"]: Reservation(State(row["state"]), row["reason"], _skus.decode(row["skus"])) for row in rows}


async def set_states(tx: Connection, reservations: Mapping[UUID, Reservation]) -> None:
    """Writes reservations that are locked."""
    if reservations:
        await tx.execute(
            "UPDATE reservations AS r SET state = n.state, reason = n.reason, skus = n.skus::json"
            " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS n (order_id, state, reason, skus)"
            " WHERE r.order_id = n.order_id",
            list(reservations),
            [each.state for each in reservations.values()],
            [each.reason for each in reservations.values()],
            [msgspec.json.encode(each.skus).decode() for each in reservations.values()],
        )


async def add_lines(tx: Connection, lines: Mapping[UUID, Mapping[str, int]]) -> None:
    """Records the quantity of each SKU that each order holds."""
    rows = [(order, sku, quantity) for order, each in lines.items() for sku, quantity in each.items()]
    if rows:
        await tx.execute(
            "INSERT INTO reservation_lines (order_id, sku, quantity)"
            " SELECT order_id, sku, quantity FROM unnest($1::uuid[], $2::text[], $3::bigint[])"
            " AS n (order_id, sku, quantity)",
            *zip(*rows, strict=True),
        )


async def lines_of(tx: Connection, orders: Collection[UUID]) -> dict[UUID, dict[str, int]]:
    """Returns the quantity of each SKU that each order holds."""
    result: dict[UUID, dict[str, int]] = {order: {} for order in orders}
    rows = await tx.fetch(
        "SELECT order_id, sku, quantity FROM reservation_lines WHERE order_id = ANY ($1::uuid[])",
        list(orders),
    )
    for row in rows:
        result[row["order_id"]][row["sku"]] = row["quantity"]
    return result


async def lock_levels(tx: Connection, skus: Collection[str]) -> dict[str, Level]:
    """Locks and returns the stock of these SKUs, as far as they exist."""
    rows = await tx.fetch(
        "SELECT sku, available, held, sold FROM stock WHERE sku = ANY ($1::text[]) ORDER BY sku FOR UPDATE",
        list(skus),
    )
    return {row["sku"]: Level(row["available"], row["held"], row["sold"]) for row in rows}


async def write_levels(tx: Connection, levels: Mapping[str, Level]) -> None:
    """Writes stock that is locked."""
    if levels:
        await tx.execute(
            "UPDATE stock SET available = n.available, held = n.held, sold = n.sold"
            " FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[])"
            " AS n (sku, available, held, sold)"
            " WHERE stock.sku = n.sku",
            list(levels),
            [level.available for level in levels.values()],
            [level.held for level in levels.values()],
            [level.sold for level in levels.values()],
        )


async def add_restock(tx: Connection, id: str, sku: str, quantity: int) -> tuple[str, int] | None:
    """Records a restock and returns None, or returns (sku, quantity) of an earlier restock with this ID."""
    added = await tx.fetchval(
        "INSERT INTO restocks (id, sku, quantity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING id",
        *(id, sku, quantity),
    )
    if added is not None:
        return None
    row = await tx.fetchrow("SELECT sku, quantity FROM restocks WHERE id = $1", id)
    assert row is not None  # restocks are never deleted
    return row["sku"], row["quantity"]


async def sold_out(connection: Connection) -> int:
    """Returns how many products are on sale and have no stock."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM stock AS s JOIN products AS p ON p.sku = s.sku WHERE s.available = 0 AND NOT p.hidden"
    )
    return count
