"""The audit passes for a consistent shop, and each kind of tampering fails exactly the right check."""

import asyncio
import contextlib
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import asyncpg
import msgspec
import pytest
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage
from aiohttp import web
from aiohttp.test_utils import TestServer

from chassis.ids import created_at, floor
from chassis.messaging.envelope import Envelope, pack
from chassis.testing.fixtures import Broker
from shopctl import services
from shopctl.audit.attempts import Attempt, Journal, read_attempts
from shopctl.audit.finding import Finding
from shopctl.audit.run import check
from shopctl.audit.sources import UNREADABLE, Addresses, Unreadable

SERVICES = services.load(Path(__file__).parents[3])
PRICE = 250
QUANTITY = 3
TOTAL = PRICE * QUANTITY
SKU = "MUG-1"
CONSUMER_OF = {
    "catalog.reserve-stock.v1": "catalog",
    "catalog.stock-reserved.v1": "order",
    "payment.charge.v1": "payment",
    "order.confirmed.v1": "catalog",
}

# status → (its history, the reservation, the payment, captures and refunds at the provider)
STORIES: dict[str, tuple[list[str], str | None, str | None, list[str]]] = {
    "PENDING": (["PENDING"], None, None, []),
    "CONFIRMED": (["PENDING", "RESERVED", "CONFIRMED"], "SOLD", "CAPTURED", ["capture"]),
    "REJECTED": (["PENDING", "REJECTED"], "REJECTED", None, []),
    "PAYMENT_FAILED": (["PENDING", "RESERVED", "PAYMENT_FAILED"], "RELEASED", "FAILED", []),
    "CANCELLED": (["PENDING", "CANCELLING", "CANCELLED"], "RELEASED", "CANCELLED", []),
    "EXPIRED": (["PENDING", "RESERVED", "EXPIRING", "EXPIRED"], "RELEASED", "CANCELLED", []),
    "REFUNDED": (
        ["PENDING", "RESERVED", "CONFIRMED", "REFUNDING", "REFUNDED"],
        "RELEASED",
        "REFUNDED",
        ["capture", "refund"],
    ),
}
HELD_ONCE = {"PAYMENT_FAILED", "EXPIRED", "REFUNDED", "CONFIRMED"}


@dataclass
class FakeOutside:
    """A fake of the provider's ledger and the edge. The edge shows the order database, unless a test makes it lie."""

    order_url: str
    ledger: list[dict[str, Any]] = field(default_factory=list)
    lie: dict[str, Any] = field(default_factory=dict)
    reported: dict[str, int] | None = None
    status: int = 204

    def move(self, kind: str, order: UUID, amount: int = TOTAL, at: datetime | None = None) -> None:
        entry = {"seq": len(self.ledger) + 1, "kind": kind, "order_id": str(order), "amount": amount}
        self.ledger.append(entry | {"currency": "EUR", "at": (at or datetime.now(UTC)).isoformat()})

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/ledger", self._ledger)
        app.router.add_get("/charges", self._charges)
        app.router.add_post("/api/identity/token", self._token)
        app.router.add_get("/api/admin/orders/{id}", self._order)
        app.router.add_put("/api/admin/orders/audit", self._report)
        return app

    async def _ledger(self, request: web.Request) -> web.Response:
        after, page = int(request.query["after"]), 5  # small, so that there are several
        items = [entry for entry in self.ledger if entry["seq"] > after][:page]
        return web.json_response({"items": items, "next_after": items[-1]["seq"] if len(items) == page else None})

    async def _charges(self, request: web.Request) -> web.Response:
        entries = [entry for entry in self.ledger if entry["order_id"] == request.query["order_id"]]
        refunded = sum(entry["amount"] for entry in entries if entry["kind"] == "refund")
        captures = [entry for entry in entries if entry["kind"] == "capture"]
        items = [entry | {"status": "succeeded", "refunded": 0} for entry in captures]
        if items:
            items[0]["refunded"] = refunded
        return web.json_response({"items": items})

    async def _token(self, request: web.Request) -> web.Response:
        return web.json_response({"access_token": "token"})

    async def _report(self, request: web.Request) -> web.Response:
        self.reported = (await request.json())["findings"]
        if self.status == 204:
            await audited(self.order_url, self.reported)
        return web.Response(status=self.status)

    async def _order(self, request: web.Request) -> web.Response:
        async with connected(self.order_url) as db:
            row = await db.fetchrow("SELECT * FROM orders WHERE id = $1", UUID(request.match_info["id"]))
            steps = await db.fetch("SELECT * FROM order_history WHERE order_id = $1 ORDER BY seq", row["id"])
        view = {
            "id": str(row["id"]),
            "status": row["status"],
            "total": {"amount": row["total"], "currency": row["currency"]},
            "lines": json.loads(row["lines"]),
            "history": [{"seq": step["seq"], "status": step["status"]} for step in steps],
        }
        return web.json_response(view | self.lie)


@dataclass
class Shop:
    """A consistent shop with one order for each story, and ways to corrupt it."""

    addresses: Addresses
    outside: FakeOutside
    broker: Broker
    consuming: AbstractConnection
    orders: dict[str, UUID]

    async def spoil(self, service: str, statement: str, *arguments: object) -> None:
        async with connected(self.addresses.databases[service]) as db:
            assert await db.execute(statement, *arguments) not in ("UPDATE 0", "DELETE 0", "INSERT 0 0")

    async def publish(self, queue: str, body: bytes) -> None:
        async with await aio_pika.connect(self.broker.url()) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(body), routing_key=queue)

    async def audited(self, days: int) -> None:
        """The last audit was so many days ago, and found nothing wrong."""
        await audited(self.addresses.databases["order"], {f"A{n}": 0 for n in range(1, 11)}, timedelta(days=days))

    async def audit_since_last(self) -> list[Finding]:
        return await check(self.addresses, SERVICES, since_last=True)

    async def audit(self, attempts: list[Attempt] | None = None, poisoned: set[str] | None = None) -> list[Finding]:
        with contextlib.nullcontext() if attempts is None else Journal.of(attempts) as journal:
            return await check(self.addresses, SERVICES, journal, poisoned or set())

    async def failing(self, attempts: list[Attempt] | None = None, poisoned: set[str] | None = None) -> set[str]:
        return {each.invariant for each in await self.audit(attempts, poisoned) if not each.ok}


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def audited(order_url: str, findings: dict[str, int], ago: timedelta = timedelta()) -> None:
    """Stores the result of an audit, as the order service does."""
    async with connected(order_url) as db:
        await db.execute("DELETE FROM audit_results")
        await db.executemany(
            "INSERT INTO audit_results (invariant, findings, at) VALUES ($1, $2, now() - $3::interval)",
            [(invariant, number, ago) for invariant, number in findings.items()],
        )


def id_at(at: datetime) -> UUID:
    return UUID(int=floor(at).int | uuid4().int >> 64)


@pytest.fixture
async def shop(database: Callable[[str | None], str], rabbitmq: Broker) -> AsyncIterator[Shop]:
    databases = {name: database(name) for name in SERVICES.audited}
    outside = FakeOutside(databases["order"])
    async with TestServer(outside.app()) as server, await aio_pika.connect(rabbitmq.url()) as consuming:
        channel = await consuming.channel()
        for name in SERVICES.consumers:
            queue = await channel.get_queue(name)
            await queue.consume(acknowledge)
        url = str(server.make_url("")).rstrip("/")
        addresses = Addresses(databases, broker=rabbitmq.url("operator"), psp=url, edge=url)
        orders = {status: id_at(datetime.now(UTC) - timedelta(days=1)) for status in STORIES}
        await fill(databases, orders, outside)
        yield Shop(addresses, outside, rabbitmq, consuming, orders)


async def acknowledge(message: AbstractIncomingMessage) -> None:
    await message.ack()


async def fill(databases: dict[str, str], orders: dict[str, UUID], outside: FakeOutside) -> None:
    async with contextlib.AsyncExitStack() as stack:
        db = {name: await stack.enter_async_context(connected(url)) for name, url in databases.items()}
        await db["catalog"].execute("INSERT INTO categories (slug, name) VALUES ('mugs', 'Mugs')")
        await db["catalog"].execute(
            "INSERT INTO products (sku, name, description, category, amount, currency, created_at, updated_at,"
            " folded_name, search, document)"
            " VALUES ($1, 'Mug', '', 'mugs', $2, 'EUR', now(), now(), 'mug', '', '{')",
            *(SKU, PRICE),
        )
        await db["catalog"].execute("INSERT INTO stock VALUES ($1, $2, 0, $3)", SKU, 100 - QUANTITY, QUANTITY)
        await db["catalog"].execute("INSERT INTO restocks VALUES ('a', $1, 60), ('b', $1, 40)", SKU)
        for status, id in orders.items():
            await tell(db, status, id, outside)
        long_ago = id_at(datetime.now(UTC) - timedelta(days=9))
        await db["order"].execute(
            "INSERT INTO outbox_archive VALUES ($1, 'nobody.consumes-this.v1', '', '{}')", long_ago
        )


async def tell(db: dict[str, asyncpg.Connection], status: str, id: UUID, outside: FakeOutside) -> None:
    history, reservation, payment, moves = STORIES[status]
    line = {"sku": SKU, "name": "Mug", "quantity": QUANTITY, "unit_price": {"amount": PRICE, "currency": "EUR"}}
    await db["order"].execute(
        "INSERT INTO orders (id, principal, idempotency_key, request_hash, cart_version, status, seq, total, currency,"
        " lines, payment_method, shipping_address, created_at, expires_at) VALUES"
        " ($1, 'guest', $2, $3, $2, $4, $5, $6, 'EUR', $7, 'tok_visa', '{}', now(), now() + interval '15 min')",
        *(id, key_of(id), attempt(id).request_hash, status, len(history), TOTAL, json.dumps([line])),
    )
    steps = [(id, seq, each) for seq, each in enumerate(history, 1)]
    await db["order"].executemany(
        "INSERT INTO order_history (order_id, seq, status, at) VALUES ($1,$2,$3,now())", steps
    )
    if reservation:
        await db["catalog"].execute("INSERT INTO reservations (order_id, state) VALUES ($1, $2)", id, reservation)
        if status in HELD_ONCE:
            await db["catalog"].execute("INSERT INTO reservation_lines VALUES ($1, $2, $3)", id, SKU, QUANTITY)
    if payment:
        await db["payment"].execute(
            "INSERT INTO payments (order_id, state, amount, currency, payment_method)"
            " VALUES ($1, $2, $3, 'EUR', 'tok_visa')",
            *(id, payment, TOTAL),
        )
    for kind in moves:
        outside.move(kind, id, at=created_at(id))
    for key, consumer in CONSUMER_OF.items():
        event = id_at(created_at(id))
        source = "catalog" if key.startswith("catalog.stock") else "order"
        await db[source].execute(
            "INSERT INTO outbox_archive (id, routing_key, subject, data) VALUES ($1, $2, $3, '{}')",
            *(event, key, str(id)),
        )
        await db[consumer].execute("INSERT INTO inbox (consumer, event_id) VALUES ($1, $2)", consumer, event)


def key_of(id: UUID) -> str:
    return f"key-{id}"


def attempt(id: UUID, **changes: Any) -> Attempt:
    body = {"payment_method": "tok_visa", "cart_version": str(id)}
    return Attempt(**{"key": key_of(id), "body": body, "status": 202, "order_id": id} | changes)


def event(id: UUID) -> bytes:
    envelope = Envelope(id, "test", "payment.charge.v1", datetime.now(UTC), "", msgspec.Raw(b"{}"))
    return pack([envelope])[0][1]


async def test_a_shop_in_order_passes_with_its_figures(shop: Shop) -> None:
    findings = await shop.audit([attempt(id) for id in shop.orders.values()])

    assert [(each.invariant, each.wrong) for each in findings] == [(f"A{n}", {}) for n in range(1, 11)]
    counts = {each.invariant: each.counts for each in findings}
    assert counts["A3"] == {"orders": 7, "payments": 5, "ledger entries": 3}
    assert counts["A6"] == {"events": 29, "handled by catalog": 14, "handled by order": 7, "handled by payment": 7}
    assert counts["A8"] == {"orders": 7, "steps": 21, "read over HTTP": 7}


NEWEST = UUID(int=2**128 - 1)
# invariant, database, statement; $1 is the confirmed order's ID
TAMPERING = {
    "stock appears": ("A1", "catalog", "UPDATE stock SET available = available + 1"),
    "a sold piece goes back on the shelf": (
        "A1",
        "catalog",
        "UPDATE stock SET available = available + 1, sold = sold - 1",
    ),
    "a restock is lost": ("A1", "catalog", "DELETE FROM restocks WHERE id = 'b'"),
    "an order is confirmed that is not sold": (
        "A2",
        "catalog",
        "WITH gone AS (DELETE FROM reservation_lines WHERE order_id = $1 RETURNING sku, quantity),"
        " r AS (DELETE FROM reservations WHERE order_id = $1)"
        " UPDATE stock SET available = available + quantity, sold = sold - quantity FROM gone",
    ),
    "a stranger's reservation": ("A2", "catalog", f"INSERT INTO reservations VALUES ('{NEWEST}', 'RELEASED')"),
    "fewer pieces are reserved": (
        "A2",
        "catalog",
        "WITH l AS (UPDATE reservation_lines SET quantity = 2 WHERE order_id = $1)"
        " UPDATE stock SET available = available + 1, sold = sold - 1",
    ),
    "a payment's amount": ("A3", "payment", "UPDATE payments SET amount = amount + 1 WHERE order_id = $1"),
    "a payment is lost": ("A3", "payment", "DELETE FROM payments WHERE order_id = $1"),
    "an order stays open": (
        "A5",
        "order",
        "UPDATE orders SET expires_at = now() - interval '2 min' WHERE status = 'PENDING'",
    ),
    "an outbox row stays": (
        "A6",
        "order",
        "INSERT INTO outbox SELECT gen_random_uuid(), 'order.confirmed.v1', '', '{}'",
    ),
    "an event is never handled": (
        "A6",
        "payment",
        "DELETE FROM inbox WHERE event_id = (SELECT max(event_id::text)::uuid FROM inbox)",
    ),
    "history has a gap": ("A8", "order", "DELETE FROM order_history WHERE order_id = $1 AND seq = 2"),
    "history loses its end": ("A8", "order", "DELETE FROM order_history WHERE order_id = $1 AND seq = 3"),
    "history takes an illegal step": (
        "A8",
        "order",
        "UPDATE order_history SET status = 'EXPIRING' WHERE order_id = $1 AND seq = 2",
    ),
    "a line's price is a fraction": (
        "A9",
        "order",
        "UPDATE orders SET lines = replace(lines::text, '250', '250.5')::json WHERE id = $1",
    ),
    "a rejected order's total": ("A9", "order", "UPDATE orders SET total = total + 1 WHERE status = 'REJECTED'"),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_with_a_database_fails_only_its_check(shop: Shop, what: str) -> None:
    invariant, service, statement = TAMPERING[what]
    arguments = [shop.orders["CONFIRMED"]] if "$1" in statement else []

    await shop.spoil(service, statement, *arguments)
    await shop.audited(days=2)

    since = await shop.audit_since_last()
    assert {each.invariant for each in since if not each.ok} == {invariant}
    assert await shop.failing() == {invariant}


async def test_since_the_last_audit_only_what_has_changed_is_looked_at(shop: Shop) -> None:
    await shop.audit()
    new = id_at(datetime.now(UTC))
    async with contextlib.AsyncExitStack() as stack:
        db = {name: await stack.enter_async_context(connected(url)) for name, url in shop.addresses.databases.items()}
        await tell(db, "CONFIRMED", new, shop.outside)
        await db["catalog"].execute("UPDATE stock SET available = available - $1, sold = sold + $1", QUANTITY)

    findings = await shop.audit_since_last()

    assert [each.wrong for each in findings if not each.ok] == []
    counts = {each.invariant: each.counts for each in findings}
    assert counts["A2"] == {"orders": 2, "reservations": 1}, "the new one, and the old one that is still open"
    assert counts["A3"] == {"orders": 2, "payments": 1, "ledger entries": 1}
    assert counts["A6"] == {"events": 4, "handled by catalog": 2, "handled by order": 1, "handled by payment": 1}


@pytest.mark.parametrize("refunded", [True, False])
async def test_an_old_order_that_is_refunded_is_looked_at_again(shop: Shop, *, refunded: bool) -> None:
    await shop.audit()
    order, event = shop.orders["CONFIRMED"], id_at(datetime.now(UTC))
    await shop.spoil("order", "UPDATE orders SET status = 'REFUNDED', seq = 5 WHERE id = $1", order)
    for seq, status in ((4, "REFUNDING"), (5, "REFUNDED")):
        await shop.spoil("order", "INSERT INTO order_history VALUES ($1, $2, $3, NULL, now())", order, seq, status)
    await shop.spoil("catalog", "UPDATE reservations SET state = 'RELEASED' WHERE order_id = $1", order)
    await shop.spoil("catalog", "UPDATE stock SET available = available + sold, sold = 0")
    await shop.spoil("payment", "UPDATE payments SET state = 'REFUNDED' WHERE order_id = $1", order)
    await shop.spoil(
        "order", "INSERT INTO outbox_archive VALUES ($1, 'payment.cancel.v1', $2, '{}')", event, str(order)
    )
    await shop.spoil("payment", "INSERT INTO inbox (consumer, event_id) VALUES ('payment', $1)", event)
    if refunded:
        shop.outside.move("refund", order)

    findings = await shop.audit_since_last()

    assert {each.invariant for each in findings if not each.ok} == (set() if refunded else {"A3"})
    assert {each.invariant: each.counts for each in findings}["A2"]["orders"] == 2


@pytest.mark.parametrize("kind", ["capture", "refund"])
async def test_money_that_moves_for_an_old_order_is_found(shop: Shop, kind: str) -> None:
    await shop.audit()
    shop.outside.move(kind, shop.orders["CONFIRMED"])

    assert {each.invariant for each in await shop.audit_since_last() if not each.ok} == {"A3"}


async def test_an_edited_old_row_is_found_only_by_an_audit_of_everything(shop: Shop) -> None:
    await shop.audit()
    await shop.spoil("order", "UPDATE orders SET total = total + 1 WHERE id = $1", shop.orders["CONFIRMED"])

    assert all(each.ok for each in await shop.audit_since_last())
    assert await shop.failing() == {"A3", "A9"}
    assert not all(each.ok for each in await shop.audit_since_last()), "it failed, so nothing is final"


@pytest.mark.parametrize("lost", ["DELETE FROM audit_results", "DELETE FROM outbox_archive"])
async def test_without_the_last_audit_or_the_messages_since_everything_is_looked_at(shop: Shop, lost: str) -> None:
    await shop.audit()
    await shop.spoil("order", lost)

    (orders,) = [each.counts for each in await shop.audit_since_last() if each.invariant == "A9"]

    assert orders == {"orders": len(STORIES)}


async def test_payments_of_another_provider_are_compared_with_their_orders_and_counted(shop: Shop) -> None:
    """The audit does not read that provider's ledger, and reports this."""
    confirmed, refunded = str(shop.orders["CONFIRMED"]), str(shop.orders["REFUNDED"])
    await shop.spoil("payment", "UPDATE payments SET provider = 'stripe' WHERE state IN ('CAPTURED', 'REFUNDED')")
    assert await shop.failing() == {"A3"}, "the sandbox took the money too"

    shop.outside.ledger.clear()
    (finding,) = [each for each in await shop.audit() if each.invariant == "A3"]
    assert finding.ok
    assert finding.title.endswith("NOT compared with stripe: 2 payments")

    await shop.spoil("payment", "UPDATE payments SET state = 'REFUNDED' WHERE order_id = $1", UUID(confirmed))
    await shop.spoil("payment", "UPDATE payments SET state = 'CAPTURED' WHERE order_id = $1", UUID(refunded))
    (finding,) = [each for each in await shop.audit() if not each.ok]
    assert finding.wrong == {"net below what is owed": [confirmed], "net above what is owed": [refunded]}


async def test_a_second_capture_fails_even_when_it_was_refunded(shop: Shop) -> None:
    shop.outside.move("capture", shop.orders["CONFIRMED"])
    shop.outside.move("refund", shop.orders["CONFIRMED"])

    (finding,) = [each for each in await shop.audit() if not each.ok]

    assert finding.invariant == "A3"
    assert finding.wrong["captured more than once"] == [str(shop.orders["CONFIRMED"])]


@pytest.mark.parametrize("status", ["REJECTED", "CANCELLED", "CONFIRMED", "REFUNDED"])
async def test_excess_money_fails_the_ledger(shop: Shop, status: str) -> None:
    shop.outside.move("capture", shop.orders[status], amount=1)

    assert await shop.failing() == {"A3"}


async def test_money_without_an_order_fails_the_ledger(shop: Shop) -> None:
    shop.outside.move("capture", uuid4())

    assert await shop.failing() == {"A3"}


async def test_a_total_that_is_not_what_was_paid_fails_sums_and_ledger(shop: Shop) -> None:
    await shop.spoil("order", "UPDATE orders SET total = total + 1 WHERE id = $1", shop.orders["CONFIRMED"])

    assert await shop.failing() == {"A3", "A9"}


async def test_http_that_shows_something_else_fails_the_view(shop: Shop) -> None:
    shop.outside.lie = {"status": "CONFIRMED"}

    assert await shop.failing() == {"A8"}


async def test_attempts_must_be_orders_and_orders_attempts(shop: Shop) -> None:
    known = [attempt(id) for id in shop.orders.values()]
    first = shop.orders["CONFIRMED"]

    async def wrong(attempts: list[Attempt]) -> set[str]:
        findings = await shop.audit(attempts)
        assert {each.invariant for each in findings if not each.ok} == {"A4"}
        return {how for each in findings for how in each.wrong}

    assert await wrong([*known, Attempt(key="lost", body={}, status=202)]) == {"acknowledged, but lost"}
    assert await wrong(known[1:]) == {"order without an attempt"}
    others = [each for each in known if each.order_id != first]
    assert await wrong([*others, attempt(first, body={"other": 1})]) == {"the body differs"}
    assert await wrong([*others, attempt(first, order_id=uuid4())]) == {"order ID differs from the answer"}
    assert await shop.failing([*known, Attempt(key="no answer", body={}, status=None)]) == set()


async def test_a_client_whose_clock_is_ahead_has_lost_no_order(shop: Shop) -> None:
    ahead = time.time() + 3600
    known = [msgspec.structs.replace(attempt(id), at=ahead) for id in shop.orders.values()]

    assert await shop.failing(known) == set()


async def test_the_body_of_a_page_s_order_is_not_compared(shop: Shop) -> None:
    first = shop.orders["CONFIRMED"]
    others = [attempt(id) for id in shop.orders.values() if id != first]

    assert await shop.failing([*others, attempt(first, body=None)]) == set()
    assert await shop.failing([*others, attempt(first, body=None, order_id=uuid4())]) == {"A4"}


async def test_one_key_is_one_order_even_for_two_principals(shop: Shop) -> None:
    rejected, cancelled = shop.orders["REJECTED"], shop.orders["CANCELLED"]
    await shop.spoil(
        "order",
        "UPDATE orders SET principal = 'other', idempotency_key = $1 WHERE id = $2",
        *(key_of(rejected), cancelled),
    )

    assert await shop.failing([attempt(id) for id in shop.orders.values() if id != cancelled]) == {"A4"}


async def test_dead_letters_must_be_exactly_the_poisoned_ones_and_stay_dead(shop: Shop) -> None:
    dead, garbage = uuid4(), b"no json"
    ids = {str(dead), f"sha256:{hashlib.sha256(garbage).hexdigest()}"}
    await shop.publish("payment.dead", event(dead))
    await shop.publish("cart.dead", garbage)

    assert await shop.failing() == {"A7"}
    assert await shop.failing(poisoned=ids) == set()
    assert await shop.failing(poisoned={*ids, "missing"}) == {"A7"}


async def test_an_event_that_died_need_not_be_handled(shop: Shop) -> None:
    async with connected(shop.addresses.databases["payment"]) as db:
        id = UUID(str(await db.fetchval("SELECT event_id FROM inbox LIMIT 1")))
        await db.execute("DELETE FROM inbox WHERE event_id = $1", id)
    await shop.publish("payment.dead", event(id))

    assert await shop.failing(poisoned={str(id)}) == set()


async def test_a_waiting_message_fails_the_queues(shop: Shop) -> None:
    await shop.publish("order.retry.5m", event(uuid4()))

    assert await shop.failing() == {"A7"}


async def test_a_queue_without_consumers_fails(shop: Shop) -> None:
    await shop.consuming.close()

    assert await shop.failing() == {"A7"}


async def test_a_session_idle_in_transaction_fails(shop: Shop) -> None:
    async with connected(shop.addresses.databases["order"]) as db:
        await db.execute("BEGIN")
        await asyncio.sleep(5.2)

        assert await shop.failing() == {"A10"}


async def test_waiting_passes_once_the_shop_has_settled(shop: Shop) -> None:
    await shop.spoil("order", "UPDATE orders SET expires_at = now() - interval '2 min' WHERE status = 'PENDING'")
    waiting = asyncio.create_task(check(shop.addresses, SERVICES, wait=20))
    await asyncio.sleep(0.7)
    assert not waiting.done()
    async with connected(shop.addresses.databases["order"]) as db:
        await db.execute(
            "WITH h AS (INSERT INTO order_history"
            " SELECT id, 2, 'REJECTED', NULL, now() FROM orders WHERE status = 'PENDING')"
            " UPDATE orders SET status = 'REJECTED', seq = 2 WHERE status = 'PENDING'"
        )

    assert all(each.ok for each in await waiting)


async def test_the_order_service_gets_the_result_for_its_metrics(shop: Shop) -> None:
    await shop.spoil("order", "UPDATE orders SET total = total + 1 WHERE status IN ('REJECTED', 'CANCELLED')")

    findings = await shop.audit()

    assert shop.outside.reported is not None
    assert shop.outside.reported["A9"] == 2
    assert {name for name, count in shop.outside.reported.items() if not count} == {
        e.invariant for e in findings if e.ok
    }


async def test_an_audit_that_cannot_be_reported_is_still_an_audit(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.outside.status = 404  # as the order service of an earlier release answers

    assert await shop.failing() == set()
    assert "The metrics do not show this audit: PUT" in capsys.readouterr().err


async def test_an_unreadable_source_is_reported(shop: Shop, tmp_path: Path) -> None:
    addresses = Addresses(shop.addresses.databases, shop.addresses.broker, psp="http://127.0.0.1:9", edge="")
    with pytest.raises(UNREADABLE):
        await check(addresses, SERVICES)
    (tmp_path / "attempts").write_text('{"key": 1}\n')
    with pytest.raises(Unreadable, match="attempts"):
        list(read_attempts(tmp_path / "attempts"))


def write(file: Path, *attempts: Attempt) -> Path:
    file.write_bytes(b"\n".join(map(msgspec.json.encode, attempts)) + b"\n")
    return file


def test_an_attempt_before_and_after_its_answer_is_one(tmp_path: Path) -> None:
    sent = Attempt("a", {"n": 1}, at=1.0)
    answered = Attempt("a", {"n": 1}, at=1.0, status=202, order_id=uuid4())
    again = Attempt("a", {"n": 1}, at=2.0)
    other = Attempt("b", {"n": 1}, at=1.0)

    assert [*read_attempts(write(tmp_path / "file", sent, other, answered, again))] == [answered, other, again]


def test_attempts_of_several_files_and_of_a_folder_are_read(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    made = [Attempt(key, None, at=1.0, status=202) for key in ("a", "b", "c")]
    alone = write(tmp_path / "alone", made[0])
    for each in made[1:]:
        write(tmp_path / "run" / f"attempts-{each.key}.jsonl", each)
    write(tmp_path / "run" / "requests-a.csv")

    assert [*read_attempts(alone, tmp_path / "run")] == made


def test_a_folder_without_attempts_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="has no file attempts"):
        list(read_attempts(tmp_path))
