"""A usual step of the saga is one statement, and leaves what the general code leaves."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from chassis import outbox, tracing
from chassis.db import Connection, Database
from chassis.ids import uuid7
from chassis.messages import Event
from order import repository
from order.messages import PaymentCaptured, PaymentFailed, StockRejected, StockReserved
from order.models import NewOrder, OrderLine, Status
from order.usecases import saga

from .conftest import event

A, B, C, UNKNOWN = uuid7(), uuid7(), uuid7(), uuid7()
TRACED = f"00-{1:032x}-{1:016x}-00"
SAMPLED = f"00-{2:032x}-{2:016x}-01"
ODD = 'Ä "quoted" \\ {} [] \x7f\t\n\r\x01 \u2028 \U0001f6a2 %s $1 </p>'


def new_order(id: UUID, principal: str, lines: Sequence[OrderLine], traceparent: str | None = None) -> NewOrder:
    return NewOrder(
        id=id,
        principal=principal,
        idempotency_key="key",
        request_hash=b"hash",
        cart_version=f"{principal}'s",
        payment_method=f"{principal}'s card",
        shipping_address=b"{}",
        lines=tuple(lines),
        total=sum(line.quantity * line.unit_price for line in lines),
        currency="EUR",
        traceparent=traceparent,
    )


ORDERS = [
    new_order(A, "ann", [OrderLine("MUG-1", "Mug", 2, 500), OrderLine("TEA-1", "Tea", 1, 250)], TRACED),
    new_order(B, ODD, [OrderLine(ODD, ODD, 2_147_483_647, 1), OrderLine("A", "", 1, 2**63 - 2_147_483_648)], SAMPLED),
    new_order(C, "", [OrderLine("MUG-1", "Mug", 1, 0)]),
]

Replies = Callable[[Database, list[Event[Any]]], Awaitable[None]]
Step = tuple[Replies, type[Any]]
RESERVED: Step = (saga.stock_reserved, StockReserved)
CAPTURED: Step = (saga.payment_captured, PaymentCaptured)
STEPS = pytest.mark.parametrize("step", [RESERVED, CAPTURED], ids=["reserved", "captured"])

Ids = Sequence[tuple[UUID, UUID]]
"""(order, event) pairs."""
FIRST = {id: uuid7() for id in (A, B, C, UNKNOWN)}
AGAIN = {id: uuid7() for id in FIRST}


def first(*orders: UUID) -> list[tuple[UUID, UUID]]:
    return [(id, FIRST[id]) for id in orders]


def again(*orders: UUID) -> list[tuple[UUID, UUID]]:
    return [(id, AGAIN[id]) for id in orders]


async def store(db: Database) -> None:
    commands = outbox.drafts([(order.id, order.reserve()) for order in ORDERS], {})
    async with db.connection() as connection:
        sent = await repository.add_orders(connection, ORDERS, commands, 900)
        outbox.left(connection, commands, sent.values())


async def handle(db: Database, step: Step, pairs: Ids, causes: dict[UUID, str] | None = None) -> None:
    """Handles events as the consumer does."""
    replies, message = step
    events = [Event(event, str(order), message(order), (causes or {}).get(order)) for order, event in pairs]
    with tracing.processing("order", message.type, events):
        await replies(db, events)


async def rejected(db: Database) -> None:
    await saga.stock_rejected(db, [event(StockRejected(A))])


async def failed(db: Database) -> None:
    await saga.payment_failed(db, [event(PaymentFailed(A, "declined"))])


async def cancelled(db: Database) -> None:
    await saga.cancel(db, A, "ann")


async def expired(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute("UPDATE orders SET expires_at = now() WHERE id = $1", A)
    assert await saga.expire(db) == 1


async def reserved(db: Database) -> None:
    await handle(db, RESERVED, again(A))


async def captured(db: Database) -> None:
    await handle(db, CAPTURED, again(A))


SITUATIONS: dict[str, Sequence[Ids | Callable[[Database], Awaitable[None]]]] = {
    "one": [first(B)],
    "all": [first(A, B, C)],
    "all in another order": [first(C, A, B)],
    "all, one after another": [first(C), first(A), first(B)],
    "redelivered": [first(A, B), first(A, B)],
    "half of them redelivered": [first(A, B), first(B, C)],
    "twice in a batch": [first(A, A, B)],
    "two events about one order": [[*first(A, B), *again(A)]],
    "another event about an order": [first(A), again(A, B)],
    "an unknown order": [first(A, UNKNOWN)],
    "only an unknown order": [first(UNKNOWN)],
    "rejected before": [rejected, first(A, B)],
    "failed before": [failed, first(A, B)],
    "cancelled before": [cancelled, first(A, B)],
    "cancelled after": [first(A, B), cancelled, again(A)],
    "expired before": [expired, first(B, A)],
    "reserved before": [reserved, first(A, B)],
    "captured before": [captured, first(A, B)],
}


async def outcome(db: Database, step: Step, situation: str, spans: list[tracing.Span]) -> dict[str, Any]:
    """Returns all that a situation leaves, apart from times and the IDs that the database makes."""
    given: list[outbox.Row] = []
    db.after_messages.append(given.extend)
    before = ended()
    spans.clear()
    await store(db)
    if step is CAPTURED:
        await saga._answered(db, [event(StockReserved(order.id)) for order in ORDERS], saga.Input.STOCK_RESERVED)
    for part in SITUATIONS[situation]:
        if callable(part):
            await part(db)
        else:
            await handle(db, step, part, {A: f"00-{3:032x}-{3:016x}-00"})

    async with db.connection() as connection:
        stored = await connection.fetch("SELECT * FROM outbox ORDER BY id")
        assert given == [outbox.Row(*row) for row in stored]
        return {
            "orders": await rows(connection, "SELECT id, status, seq, undo_sent_at IS NULL FROM orders ORDER BY id"),
            "history": await rows(
                connection, "SELECT order_id, seq, status, reason FROM order_history ORDER BY order_id, seq"
            ),
            "inbox": await rows(connection, "SELECT consumer, event_id FROM inbox WHERE event_id = ANY ($1)", KNOWN),
            "outbox": [(row.routing_key, row.subject, json.loads(row.data), row.traceparent) for row in given],
            "ended": {status: count - before[status] for status, count in ended().items()},
            "spans": [(span.trace_id, span.attributes) for span in spans if span.name == "order"],
        }


KNOWN = [*FIRST.values(), *AGAIN.values()]


async def rows(connection: Connection, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    return sorted(tuple(row) for row in await connection.fetch(query, *arguments))


def ended() -> dict[str, float]:
    return {
        sample.name + sample.labels.get("status", ""): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in ("quayside_orders_settled_total", "quayside_order_confirmation_seconds_count")
    }


@STEPS
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda name: name.replace(" ", "-"))
async def test_both_ways_leave_the_same(
    database: Callable[[str], str],
    step: Step,
    situation: str,
    spans: list[tracing.Span],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with Database(database("order"), name="usual") as db:
        usual = await outcome(db, step, situation, spans)

    async def never(*_: object) -> None:
        return None

    monkeypatch.setattr("order.repository.advance", never)
    async with Database(database("order"), name="general") as db:
        assert await outcome(db, step, situation, spans) == usual


async def history(db: Database, id: UUID) -> list[str]:
    async with db.connection() as connection:
        found = await connection.fetch("SELECT status FROM order_history WHERE order_id = $1 ORDER BY seq", id)
    return [row["status"] for row in found]


async def test_a_usual_step_is_one_statement(db: Database, spans: list[tracing.Span]) -> None:
    await store(db)
    for step in (RESERVED, CAPTURED):
        spans.clear()
        await handle(db, step, [(order.id, uuid7()) for order in ORDERS], {A: SAMPLED})
        assert [span.name for span in spans if span.kind == tracing.CLIENT] == ["UPDATE orders"]


async def test_a_capture_that_came_too_early_has_no_effect_when_it_comes_again(db: Database) -> None:
    await store(db)
    await handle(db, CAPTURED, first(A))
    await handle(db, RESERVED, again(A))

    await handle(db, CAPTURED, first(A))

    assert await history(db, A) == ["PENDING", "RESERVED"]


async def waiting(tx: Connection, count: int) -> None:
    """Returns once so many transactions wait for locks."""
    while await tx.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted") < count:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("other", [first, again], ids=["the same events", "other events"])
async def test_rivals_that_meet_the_same_orders_in_opposite_order_do_not_block_each_other(
    db: Database, other: Callable[..., Ids]
) -> None:
    await store(db)
    async with db.transaction() as tx:
        await repository.lock(tx, [A, B])
        rivals = [asyncio.create_task(handle(db, RESERVED, pairs)) for pairs in (first(A, B, C), other(C, B, A))]
        await waiting(tx, 2)
    await asyncio.gather(*rivals)

    assert [await history(db, id) for id in (A, B, C)] == [["PENDING", "RESERVED"]] * 3


async def test_a_reply_waits_for_the_cancel_that_is_being_stored(db: Database) -> None:
    await store(db)
    async with db.transaction() as tx:
        await repository.lock(tx, [A])
        await repository.move(tx, [(A, Status.CANCELLING, None)])
        reply = asyncio.create_task(handle(db, RESERVED, first(A, B)))
        await waiting(tx, 1)
    await reply

    assert (await history(db, A), await history(db, B)) == (["PENDING", "CANCELLING"], ["PENDING", "RESERVED"])


async def test_a_reply_waits_for_another_change_and_keeps_it(db: Database) -> None:
    await store(db)
    async with db.transaction() as tx:
        await tx.execute("UPDATE orders SET total = 7 WHERE id = $1", A)
        reply = asyncio.create_task(handle(db, RESERVED, first(A, B)))
        await waiting(tx, 1)
    await reply

    assert (await history(db, A), await history(db, B)) == (["PENDING", "RESERVED"],) * 2
    async with db.connection() as connection:
        charge = await connection.fetchval(
            "SELECT data::text FROM outbox WHERE subject = $1 AND routing_key = 'payment.charge.v1'", str(A)
        )
    assert json.loads(charge)["amount"] == 7
