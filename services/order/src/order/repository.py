"""All queries of the order service."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from chassis import inbox, outbox
from chassis.db import Connection, only_if, usual
from order.messages import Charge, OrderConfirmed
from order.models import FAILED, OPEN, UNDOING, Command, NewOrder, OrderLine, Status, Transition

__all__ = [
    "add_orders",
    "advance",
    "audit",
    "cart_was_ordered",
    "due_for_expiry",
    "due_for_undo",
    "find_by_keys",
    "get",
    "history_after",
    "latest",
    "lock",
    "move",
    "open_orders",
    "refunds_began",
    "replace_audit",
    "undo_sent",
]

Record = asyncpg.Record

ORDER = "id, principal, status, total, currency, lines, shipping_address, created_at, expires_at"
"""The columns in a response. Only a manager sees the principal."""
COUNTED = 10_000
"""The number of open orders, and of those that are being undone, up to which they are counted."""


def sql(statuses: Iterable[Status]) -> str:
    """Returns statuses as literals: the planner uses a partial index only for literals, not for parameters."""
    literals = ", ".join(f"'{status}'" for status in sorted(statuses))
    return f"({literals})"


def lines_json(lines: Iterable[OrderLine], currency: str) -> str:
    return msgspec.json.encode(
        [
            {
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price": {"amount": line.unit_price, "currency": currency},
            }
            for line in lines
        ]
    ).decode()


async def find_by_keys(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[UUID, bytes]]:
    """Returns (order ID, request hash) by (principal, key), for the keys that exist."""
    principals, idempotency_keys = zip(*keys, strict=True)
    rows = await connection.fetch(
        "SELECT principal, idempotency_key, id, request_hash FROM orders"
        " JOIN unnest($1::text[], $2::text[]) AS k (principal, idempotency_key) USING (principal, idempotency_key)",
        principals,
        idempotency_keys,
    )
    return {(row["principal"], row["idempotency_key"]): (row["id"], row["request_hash"]) for row in rows}


PLACE = f"""
WITH placed AS (
    INSERT INTO orders (id, principal, idempotency_key, request_hash, cart_version, status, seq, total, currency, lines,
        payment_method, shipping_address, created_at, expires_at, traceparent)
    SELECT id, principal, key, hash, cart, '{Status.PENDING}', 1, total, currency, lines::json, method, address::json,
        now(), now() + make_interval(secs => $12), trace
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[], $6::bigint[], $7::text[], $8::text[],
        $9::text[], $10::text[], $11::text[])
        AS t (id, principal, key, hash, cart, total, currency, lines, method, address, trace)
    ON CONFLICT DO NOTHING RETURNING id, created_at
), begun AS (
    INSERT INTO order_history (order_id, seq, status, at) SELECT id, 1, '{Status.PENDING}', created_at FROM placed
), sent AS (
    {outbox.insert_from(f"{outbox.given(13)} JOIN placed ON placed.id::text = subject")} RETURNING id, subject
)
SELECT id AS message_id, subject::uuid AS order_id FROM sent
"""  # noqa: S608


async def add_orders(
    connection: Connection, orders: Sequence[NewOrder], commands: Sequence[outbox.Draft], ttl_seconds: int
) -> dict[UUID, UUID]:
    """Stores orders, the first step of their history, and the command to each. It is one statement.

    Returns the ID of the command by that of the order, for the orders whose key and cart were unused. The others are
    not stored, and neither are their commands.
    """
    rows = await connection.fetch(
        PLACE,
        [order.id for order in orders],
        [order.principal for order in orders],
        [order.idempotency_key for order in orders],
        [order.request_hash for order in orders],
        [order.cart_version for order in orders],
        [order.total for order in orders],
        [order.currency for order in orders],
        [lines_json(order.lines, order.currency) for order in orders],
        [order.payment_method for order in orders],
        [order.shipping_address.decode() for order in orders],
        [order.traceparent for order in orders],
        ttl_seconds,
        *outbox.columns(commands),
    )
    return {row["order_id"]: row["message_id"] for row in rows}


async def cart_was_ordered(connection: Connection, principal: str, cart_version: str) -> bool:
    """Returns whether this version of the principal's cart has an order that has not failed."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM orders WHERE principal = $1 AND cart_version = $2"  # noqa: S608
        f" AND status NOT IN {sql(FAILED)})",
        principal,
        cart_version,
    )
    return found


async def lock(tx: Connection, ids: Iterable[UUID]) -> Mapping[UUID, Record]:
    """Locks these orders, sorted by ID, and returns the columns that a transition and its commands need."""
    rows = await tx.fetch(
        "SELECT id, status, principal, cart_version, total, currency, payment_method, lines, created_at, traceparent"
        " FROM orders WHERE id = ANY ($1::uuid[]) ORDER BY id FOR NO KEY UPDATE",
        sorted(ids),
    )
    return {row["id"]: row for row in rows}


async def move(tx: Connection, moves: Sequence[tuple[UUID, Status, str | None]]) -> Mapping[UUID, datetime]:
    """Stores (order ID, status, reason) triples, each as the next step of the order's history. Returns their times."""
    ids, statuses, reasons = zip(*moves, strict=True)
    rows = await tx.fetch(
        "WITH moved AS ("  # noqa: S608
        "  UPDATE orders o SET status = t.status, seq = seq + 1,"
        f"    undo_sent_at = CASE WHEN t.status IN {sql(UNDOING)} THEN now() END"
        "  FROM unnest($1::uuid[], $2::text[], $3::text[]) AS t (id, status, reason)"
        "  WHERE o.id = t.id RETURNING o.id, o.seq, o.status, t.reason)"
        " INSERT INTO order_history (order_id, seq, status, reason, at)"
        " SELECT id, seq, status, reason, clock_timestamp() FROM moved RETURNING order_id, at",
        ids,
        [str(status) for status in statuses],
        reasons,
    )
    return {row["order_id"]: row["at"] for row in rows}


COMMANDS: Mapping[Command, str] = {
    Charge: "json_build_object("
    "'order_id', id, 'amount', total, 'currency', currency, 'payment_method', payment_method)",
    OrderConfirmed: "json_build_object("
    "'order_id', id, 'sub', principal, 'cart_version', cart_version, 'lines', ("
    "SELECT json_agg(json_build_object('sku', line -> 'sku', 'quantity', line -> 'quantity') ORDER BY number)"
    " FROM json_array_elements(lines) WITH ORDINALITY AS each (line, number)))",
}
"""The data of commands, made from an order's row, for `advance`."""


def advance_sql(command: Command) -> str:
    commands = f"""(
    SELECT '{command.type}' AS key, id::text AS subject, {COMMANDS[command]} AS data, trace, row_number() OVER () AS n
    FROM moved) AS commands"""  # noqa: S608
    return f"""
WITH seen AS ({inbox.insert(1)}),
expected AS (
    SELECT id, cause
    FROM orders JOIN unnest($3::uuid[], $4::text[]) AS t (id, cause) USING (id)
    WHERE status = $5 AND {only_if("(SELECT count(*) FROM seen) = cardinality($2)")} = 1
    ORDER BY id FOR NO KEY UPDATE OF orders
), moved AS (
    UPDATE orders o SET status = $6, seq = seq + 1 FROM expected e WHERE o.id = e.id
    RETURNING o.id, o.seq, principal, cart_version, total, currency, payment_method, lines, created_at, traceparent,
        coalesce(cause, traceparent) AS trace, clock_timestamp() AS at
), told AS (
    INSERT INTO order_history (order_id, seq, status, at) SELECT id, seq, $6, at FROM moved
), sent AS (
    {outbox.insert_from(commands)} RETURNING id, routing_key, subject, data, traceparent
)
SELECT sent.id, routing_key, subject, data, sent.traceparent,
    moved.id AS order_id, created_at, at AS moved_at, moved.traceparent AS order_trace
FROM moved JOIN sent ON subject = moved.id::text
WHERE {only_if("(SELECT count(*) FROM moved) = cardinality($3)")} = 1
"""  # noqa: S608


ADVANCE = {command: advance_sql(command) for command in COMMANDS}


async def advance(
    connection: Connection,
    consumer: str,
    events: Sequence[UUID],
    causes: Sequence[tuple[UUID, str | None]],
    status: Status,
    step: Transition,
) -> list[Record] | None:
    """Takes a step with all orders of (order ID, traceparent of the event) pairs, if all are in this state.

    Records the events as seen, and stores the steps in the orders' history and the commands that they cause. It is one
    statement, and changes nothing and returns None if an event was seen before or an order is in another state.
    Otherwise returns the messages in the outbox, each with `order_id`, `created_at`, `moved_at` and `order_trace`.
    """
    ids, traces = zip(*causes, strict=True)
    (command,) = step.commands
    return await usual(
        connection, ADVANCE[command], consumer, sorted(events), ids, traces, str(status), str(step.status)
    )


async def refunds_began(tx: Connection, ids: Sequence[UUID]) -> Mapping[UUID, datetime]:
    """Returns when the refunds of these orders were asked for."""
    rows = await tx.fetch(
        "SELECT order_id, at FROM order_history WHERE order_id = ANY ($1::uuid[]) AND status = $2",
        ids,
        Status.REFUNDING,
    )
    return {row["order_id"]: row["at"] for row in rows}


async def due_for_expiry(tx: Connection, limit: int) -> list[UUID]:
    """Locks open orders whose time is over; skips those that another transaction has locked."""
    rows = await tx.fetch(
        f"SELECT id FROM orders WHERE status IN {sql(OPEN)} AND expires_at <= now()"  # noqa: S608
        " ORDER BY expires_at LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED",
        limit,
    )
    return [row["id"] for row in rows]


async def due_for_undo(tx: Connection, seconds: float, limit: int) -> list[UUID]:
    """Locks orders whose undo has had no reply for `seconds`; skips those that another transaction has locked."""
    rows = await tx.fetch(
        f"SELECT id FROM orders WHERE status IN {sql(UNDOING)}"  # noqa: S608
        " AND undo_sent_at <= now() - make_interval(secs => $1)"
        " ORDER BY undo_sent_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED",
        seconds,
        limit,
    )
    return [row["id"] for row in rows]


async def undo_sent(tx: Connection, ids: Sequence[UUID]) -> None:
    await tx.execute("UPDATE orders SET undo_sent_at = now() WHERE id = ANY ($1::uuid[])", ids)


async def get(connection: Connection, id: UUID, principal: str | None) -> Record | None:
    """Returns an order, with its history as JSON; if `principal` is given, only an order of that principal."""
    return await connection.fetchrow(
        f"SELECT {ORDER}, seq, traceparent, (SELECT json_agg(json_strip_nulls("  # noqa: S608
        "  json_build_object('seq', seq, 'status', status, 'at', at, 'reason', reason)) ORDER BY seq)"
        "  FROM order_history WHERE order_id = id)::text AS history"
        " FROM orders WHERE id = $1 AND ($2::text IS NULL OR principal = $2)",
        id,
        principal,
    )


async def latest(
    connection: Connection,
    limit: int,
    *,
    principal: str | None = None,
    status: Status | None = None,
    before: UUID | None = None,
    waiting_seconds: int | None = None,
) -> list[Record]:
    """Returns orders that are older than `before`, newest first.

    With `waiting_seconds`, only orders that are not settled, and whose last step is at least so long ago.
    """
    conditions, arguments = ["TRUE"], []
    if waiting_seconds is not None:
        conditions.append(f"(status IN {sql(OPEN)} OR status IN {sql(UNDOING)})")  # each has a partial index
        conditions.append(
            "(SELECT at FROM order_history h WHERE h.order_id = orders.id AND h.seq = orders.seq)"  # noqa: S608
            f" <= now() - make_interval(secs => {int(waiting_seconds)})"
        )
    if status is not None:
        conditions.append(f"status IN {sql([status])}")
    for column, value in (("principal =", principal), ("id <", before)):
        if value is not None:
            arguments.append(value)
            conditions.append(f"{column} ${len(arguments)}")
    return await connection.fetch(
        f"SELECT {ORDER} FROM orders WHERE {' AND '.join(conditions)}"  # noqa: S608
        f" ORDER BY id DESC LIMIT {int(limit)}",
        *arguments,
    )


async def open_orders(connection: Connection) -> dict[Status, tuple[int, float]]:
    """Returns, for each state that can change, how many orders are in it, and for how many seconds the oldest is."""
    rows = await connection.fetch(
        "WITH unsettled AS ("  # noqa: S608
        f" (SELECT id, seq, status FROM orders WHERE status IN {sql(OPEN)} ORDER BY expires_at LIMIT $1)"
        " UNION ALL"
        f" (SELECT id, seq, status FROM orders WHERE status IN {sql(UNDOING)} ORDER BY undo_sent_at LIMIT $1))"
        " SELECT u.status, count(*), extract(epoch FROM clock_timestamp() - min(at))::float8 AS seconds"
        " FROM unsettled u JOIN order_history h ON h.order_id = u.id AND h.seq = u.seq GROUP BY u.status",
        COUNTED,
    )
    return {Status(row["status"]): (row["count"], row["seconds"]) for row in rows}


async def replace_audit(connection: Connection, findings: Mapping[str, int]) -> None:
    """Stores the number of findings of each invariant in place of the last audit's. It is one statement."""
    invariants, counts = zip(*sorted(findings.items()), strict=True)
    await connection.execute(
        "WITH gone AS (DELETE FROM audit_results WHERE invariant <> ALL ($1::text[]))"
        " INSERT INTO audit_results (invariant, findings, at)"
        " SELECT invariant, findings, now() FROM unnest($1::text[], $2::int[]) AS t (invariant, findings)"
        " ON CONFLICT (invariant) DO UPDATE SET findings = excluded.findings, at = excluded.at",
        invariants,
        counts,
    )


async def audit(connection: Connection) -> list[Record]:
    """Returns the invariant, findings and time of each result of the last audit."""
    return await connection.fetch("SELECT invariant, findings, at FROM audit_results")


async def history_after(connection: Connection, seen: Mapping[UUID, int]) -> list[Record]:
    """Returns the steps of these orders whose `seq` is higher than the last one seen."""
    return await connection.fetch(
        "SELECT order_id, h.seq, status, reason, at FROM order_history h"
        " JOIN unnest($1::uuid[], $2::int[]) AS t (order_id, seen) USING (order_id)"
        " WHERE h.seq > seen ORDER BY order_id, h.seq",
        list(seen),
        list(seen.values()),
    )
