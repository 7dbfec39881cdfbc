"""Moves orders through the saga: on a reply, on a request to cancel or refund, and on a schedule."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from chassis import inbox, outbox, tracing
from chassis.db import Connection, Database
from chassis.errors import Conflict, NotFound
from chassis.messages import Event, Message
from order import repository
from order.messages import (
    CancelPayment,
    Charge,
    Line,
    OrderConfirmed,
    PaymentCancelled,
    PaymentCaptured,
    PaymentFailed,
    ReleaseStock,
    StockRejected,
    StockReserved,
)
from order.models import TRANSITIONS, UNDO, Command, Input, Status, results, settled, transition
from order.usecases.endings import Ending, record

__all__ = [
    "cancel",
    "expire",
    "order_not_found",
    "payment_cancelled",
    "payment_captured",
    "payment_failed",
    "refund",
    "resend_undo",
    "stock_rejected",
    "stock_reserved",
]

CONSUMER = "order"
BATCH = 100
UNDO_PATIENCE_SECONDS = 60.0

A = TypeVar("A", StockReserved, StockRejected, PaymentCaptured, PaymentFailed, PaymentCancelled)


async def stock_reserved(db: Database, events: list[Event[StockReserved]]) -> None:
    await _expected(db, events, Status.PENDING, Input.STOCK_RESERVED)


async def stock_rejected(db: Database, events: list[Event[StockRejected]]) -> None:
    reasons = {e.data.order_id: f"{e.data.reason}: {', '.join(e.data.skus)}".rstrip(": ") for e in events}
    await _answered(db, events, Input.STOCK_REJECTED, reasons)


async def payment_captured(db: Database, events: list[Event[PaymentCaptured]]) -> None:
    await _expected(db, events, Status.RESERVED, Input.CAPTURED)


async def payment_failed(db: Database, events: list[Event[PaymentFailed]]) -> None:
    await _answered(db, events, Input.PAYMENT_FAILED, {e.data.order_id: e.data.reason for e in events})


async def payment_cancelled(db: Database, events: list[Event[PaymentCancelled]]) -> None:
    await _answered(db, events, Input.PAYMENT_CANCELLED)


async def cancel(db: Database, order_id: UUID, principal: str) -> None:
    """Starts the undo of an order of this principal, unless it has started. Raises NotFound or Conflict."""
    await _asked(db, order_id, principal, Input.CANCEL, "not-cancellable")


async def refund(db: Database, order_id: UUID) -> None:
    """Starts to refund an order and release its stock, unless it has started. Raises NotFound or Conflict."""
    await _asked(db, order_id, None, Input.REFUND, "not-refundable")


async def expire(db: Database) -> int:
    """Starts the undo of open orders whose time is over. Returns their number."""
    async with db.transaction() as tx:
        ids = await repository.due_for_expiry(tx, BATCH)
        ended = await _advance(tx, ids, Input.EXPIRE, {})
    record(ended)
    return len(ids)


async def resend_undo(db: Database) -> int:
    """Sends undo commands again that have had no reply for a minute. Returns the number of orders."""
    async with db.transaction() as tx:
        ids = await repository.due_for_undo(tx, UNDO_PATIENCE_SECONDS, BATCH)
        orders = await repository.lock(tx, ids)
        messages = [(id, COMMANDS[command](orders[id])) for id in ids for command in UNDO]
        await outbox.put(tx, messages, _traces(orders))
        await repository.undo_sent(tx, ids)
    return len(ids)


async def _expected(db: Database, events: list[Event[A]], status: Status, input: Input) -> None:
    """Handles replies that nearly always are new, and meet their orders in this state."""
    step = TRANSITIONS[status, input]
    causes = [(event.data.order_id, tracing.traceparent_of(str(event.data.order_id))) for event in events]
    async with db.connection() as connection:
        rows = await repository.advance(connection, CONSUMER, [event.id for event in events], causes, status, step)
        connection.left_messages += [outbox.Row(*row[:5]) for row in rows or ()]
    if rows is None:
        await _answered(db, events, input)
    elif settled(step.status):
        record(
            Ending(row["order_id"], step.status, None, row["created_at"], row["moved_at"], row["order_trace"])
            for row in rows
        )


async def _answered(
    db: Database, events: list[Event[A]], input: Input, reasons: Mapping[UUID, str] | None = None
) -> None:
    async with db.transaction() as tx:
        fresh = await inbox.first_time(tx, CONSUMER, events)
        ended = await _advance(tx, [event.data.order_id for event in fresh], input, reasons or {})
    record(ended)


async def _asked(db: Database, order_id: UUID, principal: str | None, input: Input, slug: str) -> None:
    async with db.transaction() as tx:
        order = (await repository.lock(tx, [order_id])).get(order_id)
        if order is None or (principal is not None and order["principal"] != principal):
            raise order_not_found()
        status = Status(order["status"])
        if status in results(input):
            return
        if transition(status, input) is None:
            raise Conflict(
                slug,
                f"An order that is {status} cannot be undone this way",
                "See its history: an order that failed or expired needs no undo.",
                order_status=status,
            )
        ended = await _advance(tx, [order_id], input, {})
    record(ended)


async def _advance(tx: Connection, ids: Sequence[UUID], input: Input, reasons: Mapping[UUID, str]) -> list[Ending]:
    """Applies an input to these orders. Returns the endings to record once the transaction is committed."""
    if not ids:
        return []
    orders = await repository.lock(tx, ids)
    moves: list[tuple[UUID, Status, str | None]] = []
    messages: list[tuple[UUID, Message]] = []
    for id, order in orders.items():
        step = transition(Status(order["status"]), input)
        if step is not None:
            moves.append((id, step.status, reasons.get(id)))
            messages += [(id, COMMANDS[command](order)) for command in step.commands]
    if not moves:
        return []
    moved_at = await repository.move(tx, moves)
    await outbox.put(tx, messages, _traces(orders))
    refunds = [id for id, status, _ in moves if status is Status.REFUNDED]
    began_at = await repository.refunds_began(tx, refunds) if refunds else {}
    return [
        Ending(id, status, reason, began_at.get(id, orders[id]["created_at"]), moved_at[id], orders[id]["traceparent"])
        for id, status, reason in moves
        if settled(status)
    ]


def _traces(orders: Mapping[UUID, asyncpg.Record]) -> dict[UUID, str | None]:
    """Returns the traces of the orders themselves, for steps that no event causes: a cancel, a refund, an expiry."""
    return {id: order["traceparent"] for id, order in orders.items()}


def order_not_found() -> NotFound:
    return NotFound("order-not-found", "There is no such order", "See GET /api/orders for your orders.")


_lines = msgspec.json.Decoder(list[Line])  # ignores each line's name and price
Order = asyncpg.Record | Mapping[str, Any]

COMMANDS: dict[Command, Callable[[Order], Message]] = {
    Charge: lambda order: Charge(
        order_id=order["id"],
        amount=order["total"],
        currency=order["currency"],
        payment_method=order["payment_method"],
    ),
    OrderConfirmed: lambda order: OrderConfirmed(
        order_id=order["id"],
        sub=order["principal"],
        cart_version=order["cart_version"],
        lines=_lines.decode(order["lines"]),
    ),
    ReleaseStock: lambda order: ReleaseStock(order_id=order["id"]),
    CancelPayment: lambda order: CancelPayment(order_id=order["id"]),
}
"""Functions that make the commands of a transition from an order, as `repository.lock` returns it."""
