"""Makes a shop large: adds orders to its databases and its provider's ledger, as if they had been placed.

It writes what the services would have written, so it has to know their tables; the audit proves that all rows agree. It
needs a native shop that is quiet and has products.
"""

import hashlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

import asyncpg

from shopctl.bench.checkout import ADDRESS, LINES, PRODUCTS
from shopctl.bench.client import LoadFailed
from shopctl.place import PSP_DATABASE, Place

__all__ = ["make"]

PAGE = 50_000
"""Orders in one transaction."""
PAST = timedelta(days=20)
"""The age of the first order. The others are spread evenly over the time since then."""

RESERVE, RESERVED, REJECTED, RELEASE = (
    f"catalog.{what}.v1" for what in ("reserve-stock", "stock-reserved", "stock-rejected", "release-stock")
)
CHARGE, CAPTURED, FAILED, CANCEL, CANCELLED = (
    f"payment.{what}.v1" for what in ("charge", "captured", "failed", "cancel", "cancelled")
)
CONFIRMED = "order.confirmed.v1"
PUBLISHER = {RESERVED: "catalog", REJECTED: "catalog", CAPTURED: "payment", FAILED: "payment", CANCELLED: "payment"}
"""The services that publish these messages; order publishes the others."""


@dataclass(frozen=True)
class Story:
    """What an order left behind. `share` is per hundred; `held` is whether its stock was held at some time."""

    share: int
    history: tuple[str, ...]
    messages: tuple[str, ...]
    reservation: str = "RELEASED"
    held: bool = True
    payment: str | None = "CANCELLED"

    @property
    def status(self) -> str:
        return self.history[-1]


PAID = (RESERVE, RESERVED, CHARGE, CAPTURED, CONFIRMED)
UNDONE = (RESERVE, RESERVED, CHARGE, RELEASE, CANCEL, CANCELLED)
STORIES = (
    Story(95, ("PENDING", "RESERVED", "CONFIRMED"), PAID, "SOLD", payment="CAPTURED"),
    Story(1, ("PENDING", "REJECTED"), (RESERVE, REJECTED), "REJECTED", held=False, payment=None),
    Story(
        1,
        ("PENDING", "RESERVED", "PAYMENT_FAILED"),
        (RESERVE, RESERVED, CHARGE, FAILED, RELEASE),
        payment="FAILED",
    ),
    Story(1, ("PENDING", "RESERVED", "CANCELLING", "CANCELLED"), UNDONE),
    Story(1, ("PENDING", "RESERVED", "EXPIRING", "EXPIRED"), UNDONE),
    Story(
        1,
        ("PENDING", "RESERVED", "CONFIRMED", "REFUNDING", "REFUNDED"),
        (*PAID, RELEASE, CANCEL, CANCELLED),
        payment="REFUNDED",
    ),
)

# Each database makes the same IDs: UUIDs of version 7, whose last 74 bits are a digest instead of chance.
PREPARE = """
CREATE FUNCTION pg_temp.id(at timestamptz, name text) RETURNS uuid IMMUTABLE LANGUAGE sql AS $$
    SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || '7' || left(md5(name), 3) || '8' || right(md5(name), 15))::uuid
$$;
CREATE TEMP TABLE carts (cart int, sku text, line json, amount bigint, currency text);
CREATE TEMP TABLE made (n bigint, id uuid, at timestamptz, cart int, status text, trace text);
CREATE TEMP TABLE contents (cart int, lines json, quantities json, total bigint, currency text);
"""

# $1: the first number, $2: the last, $3: the time of the first, $4: seconds from one to the next, $5: the number of
# carts, $6: the status of each of a hundred
MAKE = """
INSERT INTO made (n, id, at, cart, status, trace)
SELECT n, pg_temp.id(at, 'order ' || n), at, n % $5, ($6::text[])[1 + n % 100],
    '00-' || md5('trace ' || n) || '-' || left(md5(n::text), 16) || '-01'
FROM (SELECT n, $3::timestamptz + (n - $1) * make_interval(secs => $4) AS at
      FROM generate_series($1::bigint, $2::bigint) AS n) AS numbered
"""

ORDERS = """
INSERT INTO orders (id, principal, idempotency_key, request_hash, cart_version, status, seq, total, currency, lines,
    payment_method, shipping_address, created_at, expires_at, traceparent)
SELECT id, pg_temp.id(at, 'guest ' || n), md5('key ' || n)::uuid, sha256(n::text::bytea),
    md5('cart ' || n), status, cardinality($2::text[]), total, currency, lines, 'tok_visa', $3, at,
    at + interval '15 min', trace
FROM made JOIN contents USING (cart) WHERE status = $1
"""

HISTORY = """
INSERT INTO order_history (order_id, seq, status, at)
SELECT id, seq, step, at + seq * interval '20 ms'
FROM made, unnest($2::text[]) WITH ORDINALITY AS t (step, seq) WHERE status = $1
"""

# $2: the types of messages, $3: their places in the story
PUBLISHED = """
INSERT INTO outbox_archive (id, routing_key, subject, data, traceparent, published_at)
SELECT pg_temp.id(at + place * interval '10 ms', place || ' of ' || n), type, id, CASE type
    WHEN 'catalog.reserve-stock.v1' THEN json_build_object('order_id', id, 'lines', quantities)
    WHEN 'payment.charge.v1' THEN
        json_build_object('order_id', id, 'amount', total, 'currency', currency, 'payment_method', 'tok_visa')
    WHEN 'order.confirmed.v1' THEN json_build_object('order_id', id, 'sub', pg_temp.id(at, 'guest ' || n),
        'cart_version', md5('cart ' || n), 'lines', quantities)
    ELSE json_build_object('order_id', id) END, trace, at + place * interval '10 ms'
FROM made JOIN contents USING (cart), unnest($2::text[], $3::int[]) AS t (type, place) WHERE status = $1
"""

HANDLED = """
INSERT INTO inbox (consumer, event_id, received_at)
SELECT $2, pg_temp.id(at + place * interval '10 ms', place || ' of ' || n), at + place * interval '10 ms'
FROM made, unnest($3::int[]) AS place WHERE status = $1
"""

RESERVATIONS = "INSERT INTO reservations (order_id, state, created_at) SELECT id, $2, at FROM made WHERE status = $1"
RESERVED_LINES = """
INSERT INTO reservation_lines (order_id, sku, quantity) SELECT id, sku, 1 FROM made JOIN carts USING (cart)
WHERE status = $1
"""

# What was sold had been delivered before.
SOLD = """
WITH sold AS (
        SELECT sku, count(*) AS quantity FROM made JOIN carts USING (cart) WHERE status = 'CONFIRMED' GROUP BY sku
    ),
    restocked AS (INSERT INTO restocks (id, sku, quantity) SELECT gen_random_uuid(), sku, quantity FROM sold)
UPDATE stock SET sold = stock.sold + sold.quantity FROM sold WHERE stock.sku = sold.sku
"""

PAYMENTS = """
INSERT INTO payments (order_id, state, amount, currency, payment_method, attempts, first_attempt_at, provider,
    cancel_requested, created_at, updated_at, traceparent)
SELECT id, $2, total, currency, 'tok_visa', 1, at, 'psp', $2 IN ('CANCELLED', 'REFUNDED'), at, at, trace
FROM made JOIN contents USING (cart) WHERE status = $1
"""

CHARGED = """
SELECT id::text, total, currency, status = 'REFUNDED' AS refunded, (extract(epoch FROM at) * 1000)::bigint AS at
FROM made JOIN contents USING (cart) WHERE status IN ('CONFIRMED', 'REFUNDED') ORDER BY n
"""


async def make(place: Place, count: int) -> None:
    """Add orders until there are `count`: CONFIRMED ones, and a few percent of each other final state.

    If it is interrupted, the shop does not pass an audit any more. Raises LoadFailed or asyncpg.PostgresError.
    """
    async with AsyncExitStack() as stack:
        order, catalog, payment = [
            await stack.enter_async_context(_connected(place, name)) for name in ("order", "catalog", "payment")
        ]
        carts = await _carts(catalog)
        now = datetime.now(UTC)
        ((first, last),) = await order.fetch("SELECT count(*), max(created_at) FROM orders")
        start = max(now - PAST, last or now - PAST)
        step = (now - start) / max(1, count - first)
        databases = {"order": order, "catalog": catalog, "payment": payment}
        for connection in databases.values():
            await _prepare(connection, carts)
        for number in range(first, count, PAGE):
            page = (number, min(number + PAGE, count) - 1, start + (number - first) * step, step.total_seconds())
            for name, connection in databases.items():
                async with connection.transaction():
                    await connection.execute("TRUNCATE made")
                    await connection.execute(MAKE, *page, len(carts), [*_fates()])
                    await _write(name, connection, place)
            _charge(place, await payment.fetch(CHARGED))
        for connection in databases.values():
            await connection.execute("VACUUM ANALYZE")


@asynccontextmanager
async def _connected(place: Place, service: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(place.database_url(service), timeout=5)
    try:
        yield connection
    finally:
        await connection.close()


def _fates() -> Iterator[str]:
    """Yield the status of each of a hundred orders."""
    for story in STORIES:
        yield from [story.status] * story.share


async def _carts(catalog: asyncpg.Connection) -> list[list[asyncpg.Record]]:
    """Return carts with LINES different products each. Raises LoadFailed if there are not enough products."""
    products = await catalog.fetch(
        "SELECT sku, name, amount, currency FROM products WHERE currency = 'EUR' ORDER BY sku LIMIT $1", PRODUCTS
    )
    if len(products) < LINES:
        raise LoadFailed("there are no products: `make seed` adds some")
    return [[products[(first + more) % len(products)] for more in range(LINES)] for first in range(len(products))]


async def _prepare(connection: asyncpg.Connection, carts: Sequence[Sequence[asyncpg.Record]]) -> None:
    await connection.execute(PREPARE)
    lines = [
        (number, each["sku"], json.dumps(_line(each)), each["amount"], each["currency"])
        for number, cart in enumerate(carts)
        for each in cart
    ]
    await connection.copy_records_to_table("carts", records=lines)
    await connection.execute(
        "INSERT INTO contents (cart, lines, quantities, total, currency)"
        " SELECT cart, json_agg(line), json_agg(json_build_object('sku', sku, 'quantity', 1)), sum(amount),"
        " min(currency) FROM carts GROUP BY cart"
    )


def _line(product: asyncpg.Record) -> dict[str, object]:
    price = {"amount": product["amount"], "currency": product["currency"]}
    return {"sku": product["sku"], "name": product["name"], "quantity": 1, "unit_price": price}


async def _write(service: str, connection: asyncpg.Connection, place: Place) -> None:
    """Write the rows of `made` to the tables of one service."""
    consumed = place.services[service].consumes
    for story in STORIES:
        if service == "order":
            await connection.execute(ORDERS, story.status, story.history, json.dumps(ADDRESS))
            await connection.execute(HISTORY, story.status, story.history)
        elif service == "catalog":
            await connection.execute(RESERVATIONS, story.status, story.reservation)
            if story.held:
                await connection.execute(RESERVED_LINES, story.status)
        elif story.payment:
            await connection.execute(PAYMENTS, story.status, story.payment)
        sent = {n: type for n, type in enumerate(story.messages) if PUBLISHER.get(type, "order") == service}
        received = [n for n, type in enumerate(story.messages) if type in consumed]
        await connection.execute(PUBLISHED, story.status, [*sent.values()], [*sent])
        await connection.execute(HANDLED, story.status, service, received)
    if service == "catalog":
        await connection.execute(SOLD)


def _charge(place: Place, charges: Sequence[asyncpg.Record]) -> None:
    """Add captures and refunds to the ledger, in short transactions: the provider uses it meanwhile."""
    ledger = sqlite3.connect(place.run / PSP_DATABASE, timeout=30)
    try:
        entries = _entries(charges)
        while batch := list(islice(entries, 5000)):
            with ledger:
                ledger.executemany(
                    "INSERT INTO entries"
                    " (id, kind, key, fingerprint, charge_id, order_id, amount, currency, at, status)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 'succeeded')",
                    batch,
                )
    finally:
        ledger.close()


def _entries(charges: Sequence[asyncpg.Record]) -> Iterator[tuple[object, ...]]:
    for row in charges:
        order, charge = row["id"], f"ch_{row['id'].replace('-', '')}"
        for kind, prefix in (("charge", "ch"), ("refund", "re"))[: 1 + row["refunded"]]:
            id, key = charge.replace("ch", prefix, 1), f"{order}:{kind}"
            digest = hashlib.sha256(key.encode()).digest()
            yield id, kind, key, digest, charge, order, row["total"], row["currency"], row["at"]
