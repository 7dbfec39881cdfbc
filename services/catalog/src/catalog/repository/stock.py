"""Queries for stock, restocks and reservations.

All transactions take locks in the same order: inbox, reservations, stock, and within each by key. So they cannot
deadlock.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

import msgspec

from catalog.models import Level, Reservation, State
from chassis import inbox, outbox
from chassis.db import Connection, only_if, usual

__all__ = [
    "add_lines",
    "add_restock",
    "claim",
    "hold_all",
    "lines_of",
    "lock_levels",
    "lock_reservations",
    "sell_all",
    "set_states",
    "sold_out",
    "write_levels",
]

_skus = msgspec.json.Decoder(tuple[str, ...])

# In these two statements a step begins only after the one before it is complete, so they lock in the order above.
HOLD_ALL = f"""
WITH seen AS ({inbox.insert(1)}),
claimed AS (
    INSERT INTO reservations (order_id, state)
    SELECT unnest($3::uuid[]), '{State.HELD}' WHERE (SELECT count(*) FROM seen) = cardinality($2)
    ON CONFLICT DO NOTHING RETURNING order_id
),
listed AS (
    INSERT INTO reservation_lines (order_id, sku, quantity)
    SELECT order_id, sku, quantity FROM unnest($4::uuid[], $5::text[], $6::bigint[]) AS n (order_id, sku, quantity)
),
locked AS MATERIALIZED (
    SELECT sku FROM stock WHERE sku = ANY ($7::text[]) AND (SELECT count(*) FROM claimed) = cardinality($3)
    ORDER BY sku FOR UPDATE
),
taken AS (
    UPDATE stock SET available = available - quantity, held = held + quantity
    FROM unnest($7::text[], $8::bigint[]) AS wanted (sku, quantity) JOIN locked USING (sku)
    WHERE stock.sku = wanted.sku AND available >= quantity RETURNING stock.sku
),
sent AS ({outbox.insert(9)})
SELECT id, {
    only_if(
        "(SELECT count(*) FROM seen) = cardinality($2)"
        " AND (SELECT count(*) FROM claimed) = cardinality($3)"
        " AND (SELECT count(*) FROM taken) = cardinality($7)"
    )
} FROM sent
"""  # noqa: S608
SELL_ALL = f"""
WITH seen AS ({inbox.insert(1)}),
held AS MATERIALIZED (
    SELECT order_id FROM reservations
    WHERE order_id = ANY ($3::uuid[]) AND state = '{State.HELD}' AND (SELECT count(*) FROM seen) = cardinality($2)
    ORDER BY order_id FOR UPDATE
),
marked AS (
    UPDATE reservations SET state = '{State.SOLD}'
    FROM held WHERE reservations.order_id = held.order_id RETURNING held.order_id
),
lines AS MATERIALIZED (
    SELECT sku, sum(quantity)::bigint AS quantity FROM reservation_lines
    WHERE order_id = ANY ($3::uuid[]) GROUP BY sku
),
locked AS MATERIALIZED (
    SELECT sku FROM stock
    WHERE sku = ANY (ARRAY(SELECT sku FROM lines)) AND (SELECT count(*) FROM marked) = cardinality($3)
    ORDER BY sku FOR UPDATE
),
moved AS (
    UPDATE stock SET held = held - quantity, sold = sold + quantity
    FROM lines JOIN locked USING (sku) WHERE stock.sku = lines.sku RETURNING stock.sku
)
SELECT {
    only_if(
        "(SELECT count(*) FROM seen) = cardinality($2)"
        " AND (SELECT count(*) FROM marked) = cardinality($3)"
        " AND (SELECT count(*) FROM moved) = (SELECT count(*) FROM lines)"
    )
}
"""  # noqa: S608


async def hold_all(
    connection: Connection,
    consumer: str,
    events: Iterable[UUID],
    wanted: Mapping[UUID, Mapping[str, int]],
    replies: Sequence[outbox.Draft],
) -> bool:
    """Holds all that these orders want, outside any transaction, if this is the usual case. Returns whether it was.

    The usual case: all events and orders are new, and there is enough stock for all of them.
    """
    lines = [(order, sku, quantity) for order, each in wanted.items() for sku, quantity in each.items()]
    total = Counter[str]()
    for each in wanted.values():
        total.update(each)
    rows = await usual(
        connection,
        HOLD_ALL,
        consumer,
        sorted(events),
        sorted(wanted),
        *zip(*lines, strict=True),
        list(total),
        list(total.values()),
        *outbox.columns(replies),
    )
    if rows is not None:
        outbox.left(connection, replies, [row["id"] for row in rows])
    return rows is not None


async def sell_all(connection: Connection, consumer: str, events: Iterable[UUID], orders: Collection[UUID]) -> bool:
    """Marks all that these orders hold as sold, outside any transaction, if this is the usual case; whether it was.

    The usual case: all events are new, and all orders are HELD.
    """
    return await usual(connection, SELL_ALL, consumer, sorted(events), sorted(orders)) is not None


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
