"""All queries of payment. Statements that lock several payments lock them in the order of their keys."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg

from chassis import inbox, outbox
from chassis.db import Connection, only_if, usual
from payment.messages import Charge
from payment.models import OPERATIONS, Payment, State

COLUMNS = (
    "order_id, state, amount, currency, payment_method, provider, provider_reference, cancel_requested, reason, stuck,"
    " attempts, first_attempt_at, next_attempt_at, traceparent, now()"
)
SHOWN = (
    "order_id, state, amount, currency, provider, provider_reference, reason, stuck, attempts, next_attempt_at,"
    " created_at, updated_at"
)
COUNTED = 10_000
"""The number of payments up to which they are counted."""
LEASE = f"""
    WITH due AS MATERIALIZED (
        SELECT order_id AS id FROM payments WHERE next_attempt_at <= now()
        ORDER BY next_attempt_at LIMIT $1 FOR UPDATE SKIP LOCKED
    )
    UPDATE payments SET attempts = attempts + 1, next_attempt_at = now() + $2::interval,
        first_attempt_at = coalesce(first_attempt_at, now()), updated_at = now()
    FROM due WHERE order_id = due.id RETURNING {COLUMNS}
"""  # noqa: S608
INSERT_LEASED = f"""
    WITH seen AS ({inbox.insert(1)})
    INSERT INTO payments (order_id, amount, currency, payment_method, traceparent, provider, state,
        attempts, first_attempt_at, next_attempt_at)
    SELECT order_id, amount, currency, payment_method, traceparent, $8, '{State.REQUESTED}',
        1, now(), now() + $9::interval
    FROM unnest($3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::text[])
        AS t (order_id, amount, currency, payment_method, traceparent)
    WHERE {only_if("(SELECT count(*) FROM seen) = cardinality($2)")} = 1
    RETURNING {COLUMNS}
"""  # noqa: S608
SAVE_DECIDED = f"""
    WITH locked AS MATERIALIZED (
        SELECT order_id FROM payments WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE
    ),
    saved AS (
        UPDATE payments SET state = t.state, provider_reference = t.provider_reference, reason = t.reason,
            stuck = false, next_attempt_at = NULL, updated_at = now()
        FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bool[], $7::text[])
            AS t (order_id, state, provider_reference, reason, lease_ends_at, cancel_requested, traceparent)
            JOIN locked USING (order_id)
        WHERE payments.order_id = t.order_id AND payments.next_attempt_at = t.lease_ends_at
            AND payments.cancel_requested = t.cancel_requested
            AND payments.traceparent IS NOT DISTINCT FROM t.traceparent
        RETURNING t.order_id
    ),
    sent AS ({outbox.insert(8)})
    SELECT id, {only_if("(SELECT count(*) FROM saved) = cardinality($1)")} FROM sent
"""  # noqa: S608
RECENT = "abs(extract(epoch FROM now()) - $2::bigint) <= $3::int"
HASTEN = f"""
    WITH hastened AS (
        UPDATE payments SET next_attempt_at = now(), updated_at = now()
        WHERE order_id = $1 AND next_attempt_at > now() AND attempts > 0 AND {RECENT} RETURNING order_id
    )
    SELECT {RECENT} AS recent, EXISTS (SELECT FROM hastened) AS hastened
"""  # noqa: S608


Charges = Mapping[UUID, tuple[Charge, str | None]]
"""By order ID, a charge and its traceparent."""


async def insert_requested(tx: Connection, charges: Charges, provider: str) -> None:
    """Inserts payments that are due at once, except for orders that already have a payment or a tombstone."""
    if rows := _inserted(charges):
        await tx.execute(
            "INSERT INTO payments (order_id, state, amount, currency, payment_method, provider,"
            " next_attempt_at, traceparent)"
            " SELECT order_id, $6, amount, currency, payment_method, $7, now(), traceparent"
            " FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[])"
            " AS t (order_id, amount, currency, payment_method, traceparent) ON CONFLICT DO NOTHING",
            *zip(*rows, strict=True),
            State.REQUESTED,
            provider,
        )


async def insert_leased(
    connection: Connection, consumer: str, events: Iterable[UUID], charges: Charges, provider: str, duration: timedelta
) -> list[Payment] | None:
    """Inserts payments that are leased for `duration`, outside any transaction, if this is the usual case.

    The usual case: all events are new, and no order has a payment or a tombstone. Otherwise returns None.
    """
    columns = zip(*_inserted(charges), strict=True)
    rows = await usual(connection, INSERT_LEASED, consumer, sorted(events), *columns, provider, duration)
    return None if rows is None else [_payment(row) for row in rows]


def _inserted(charges: Charges) -> list[tuple[UUID, int, str, str, str | None]]:
    return [
        (order_id, c.amount, c.currency, c.payment_method, traceparent)
        for order_id, (c, traceparent) in sorted(charges.items())
    ]


async def insert_tombstones(tx: Connection, order_ids: Sequence[UUID]) -> None:
    """Inserts CANCELLED payments for those orders that have none, so that a late charge is refused."""
    await tx.execute(
        "INSERT INTO payments (order_id, state, provider) SELECT unnest($1::uuid[]), $2, NULL ON CONFLICT DO NOTHING",
        sorted(order_ids),
        State.CANCELLED,
    )


async def lock(tx: Connection, order_ids: Iterable[UUID]) -> dict[UUID, Payment]:
    """Returns the payments of these orders as last committed, and locks them until the transaction ends."""
    rows = await tx.fetch(
        f"SELECT {COLUMNS} FROM payments WHERE order_id = ANY ($1::uuid[]) ORDER BY order_id FOR UPDATE",  # noqa: S608
        sorted(set(order_ids)),
    )
    return {row["order_id"]: _payment(row) for row in rows}


async def save(tx: Connection, payments: Iterable[Payment]) -> None:
    """Writes the columns that can change, for payments that this transaction has locked."""
    rows = [
        (p.order_id, p.state, p.provider_reference, p.cancel_requested, p.reason, p.stuck, p.attempts,
         p.first_attempt_at, p.next_attempt_at, p.traceparent)
        for p in payments
    ]  # fmt: skip
    if rows:
        await tx.execute(
            "UPDATE payments SET state = t.state, provider_reference = t.provider_reference,"
            " cancel_requested = t.cancel_requested, reason = t.reason, stuck = t.stuck, attempts = t.attempts,"
            " first_attempt_at = t.first_attempt_at, next_attempt_at = t.next_attempt_at,"
            " traceparent = t.traceparent, updated_at = now()"
            " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::bool[], $7::int[],"
            " $8::timestamptz[], $9::timestamptz[], $10::text[]) AS t (order_id, state, provider_reference,"
            " cancel_requested, reason, stuck, attempts, first_attempt_at, next_attempt_at, traceparent)"
            " WHERE payments.order_id = t.order_id",
            *zip(*rows, strict=True),
        )


async def save_decided(
    connection: Connection, leased: Sequence[Payment], decided: Sequence[Payment], replies: Sequence[outbox.Draft]
) -> bool:
    """Writes payments without a further operation, and their replies, outside any transaction, in the usual case.

    The usual case: all payments are still as they were leased. Returns whether it was. The end of a lease identifies
    it: every lease, hint and answer gives the payment another time, or none. Only a cancel leaves the time.
    """
    rows = await usual(
        connection,
        SAVE_DECIDED,
        [p.order_id for p in decided],
        [p.state for p in decided],
        [p.provider_reference for p in decided],
        [p.reason for p in decided],
        [p.next_attempt_at for p in leased],
        [p.cancel_requested for p in leased],
        [p.traceparent for p in leased],
        *outbox.columns(replies),
    )
    if rows is not None:
        outbox.left(connection, replies, [row["id"] for row in rows])
    return rows is not None


async def lease(connection: Connection, limit: int, duration: timedelta) -> list[Payment]:
    """Leases up to `limit` due payments for `duration`, the longest due first."""
    rows = await connection.fetch(LEASE, limit, duration)
    return [_payment(row) for row in rows]


async def hasten(connection: Connection, order_id: UUID, at: int, tolerance: int) -> tuple[bool, bool]:
    """Makes a payment due now if it waits for an answer of the provider, and `at` is not too far from now.

    `at` is in seconds since 1970, `tolerance` in seconds. Returns whether `at` is recent, and whether it made one due.
    """
    row = await connection.fetchrow(HASTEN, order_id, at, tolerance)
    assert row is not None
    return row["recent"], row["hastened"]


async def latest(
    connection: Connection, state: State | None, stuck: bool, before: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """Returns payments of orders that are older than `before`, newest first."""
    conditions, arguments = ["TRUE"], list[Any]()
    if state is not None:
        arguments.append(state)
        conditions.append(f"state = ${len(arguments)}")
    if state in OPERATIONS:
        conditions.append("next_attempt_at IS NOT NULL")  # few payments are undecided, and these have an index
    if stuck:
        conditions.append("stuck")
    if before is not None:
        arguments.append(before)
        conditions.append(f"order_id < ${len(arguments)}")
    rows = await connection.fetch(
        f"SELECT {SHOWN} FROM payments WHERE {' AND '.join(conditions)}"  # noqa: S608
        f" ORDER BY order_id DESC LIMIT {int(limit)}",
        *arguments,
    )
    return [dict(row) for row in rows]


async def get(connection: Connection, order_id: UUID) -> dict[str, Any] | None:
    row = await connection.fetchrow(f"SELECT {SHOWN} FROM payments WHERE order_id = $1", order_id)  # noqa: S608
    return None if row is None else dict(row)


async def undecided(connection: Connection) -> dict[State, tuple[int, float]]:
    """Returns, by state, how many payments wait for an answer of the provider, and for how many seconds the oldest."""
    rows = await connection.fetch(
        "SELECT state, count(*), extract(epoch FROM clock_timestamp() - min(since))::float8 AS seconds FROM ("
        " SELECT state, CASE state WHEN $1 THEN coalesce(first_attempt_at, updated_at) ELSE created_at END AS since"
        " FROM payments WHERE next_attempt_at IS NOT NULL ORDER BY next_attempt_at LIMIT $2) AS waiting GROUP BY state",
        State.REFUNDING,
        COUNTED,
    )
    return {State(row["state"]): (row["count"], row["seconds"]) for row in rows}


async def stuck(connection: Connection) -> int:
    """Returns how many payments need an operator."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM (SELECT FROM payments WHERE stuck LIMIT $1) AS counted", COUNTED
    )
    return count


def _payment(row: asyncpg.Record) -> Payment:
    order_id, state, *rest, as_of = row
    return Payment(order_id, State(state), *rest, as_of=as_of)
