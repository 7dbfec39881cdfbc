"""An order's trace: all its steps continue it, and its end is recorded if it is sampled, failed or slow."""

import json
import logging
from typing import Any
from uuid import UUID

import pytest

from chassis import tracing
from chassis.telemetry import JsonFormatter
from chassis.testing.fixtures import execute
from order.messages import PaymentCancelled, PaymentFailed, StockReserved
from order.usecases import saga

from .conftest import event

TRACE = f"{7:032x}"
SAMPLED = f"00-{TRACE}-{7:016x}-01"
UNSAMPLED = f"00-{TRACE}-{7:016x}-00"


async def placed(shop: Any, traceparent: str | None) -> UUID:
    with tracing.inside(tracing.extract(traceparent)):
        return (await shop.placement.place(shop.request())).order_id


async def traces(shop: Any) -> dict[str, str]:
    """The traceparent of the latest message of each type."""
    async with shop.db.connection() as connection:
        rows = await connection.fetch("SELECT routing_key, traceparent FROM outbox ORDER BY id")
    return {row["routing_key"]: row["traceparent"] for row in rows}


async def test_a_message_continues_the_event_that_causes_it(shop: Any, spans: list[tracing.Span]) -> None:
    id = await placed(shop, SAMPLED)
    reply = event(StockReserved(id), f"00-{TRACE}-{8:016x}-01")

    with tracing.processing("order", StockReserved.type, [reply]):
        await saga.stock_reserved(shop.db, [reply])

    (processed,) = (span for span in spans if span.name == "process order")
    assert (await traces(shop))["payment.charge.v1"] == processed.traceparent


async def test_steps_without_an_event_continue_the_trace_of_the_order(shop: Any, spans: list[tracing.Span]) -> None:
    id = await placed(shop, SAMPLED)
    execute(shop.db.url, "UPDATE orders SET expires_at = now()")

    assert await saga.expire(shop.db) == 1
    expired = await traces(shop)
    execute(shop.db.url, "DELETE FROM outbox", "UPDATE orders SET undo_sent_at = now() - interval '1 h'")
    assert await saga.resend_undo(shop.db) == 1
    resent = await traces(shop)

    assert expired["payment.cancel.v1"] == resent["payment.cancel.v1"] == resent["catalog.release-stock.v1"] == SAMPLED

    await saga.payment_cancelled(shop.db, [event(PaymentCancelled(id, False))])
    (order,) = (span for span in spans if span.name == "order")
    assert (order.trace_id, order.parent_id, order.error) == (TRACE, SAMPLED[36:52], "EXPIRED")


async def test_a_cancel_continues_the_trace_of_the_order_and_not_of_its_own_request(shop: Any) -> None:
    id = await placed(shop, SAMPLED)

    with tracing.inside(tracing.extract(f"00-{1:032x}-{1:016x}-01")):
        await saga.cancel(shop.db, id, "ann")

    assert (await traces(shop))["payment.cancel.v1"] == SAMPLED


@pytest.mark.parametrize(("traceparent", "recorded"), [(SAMPLED, True), (UNSAMPLED, False), (None, False)])
async def test_an_order_that_succeeds_is_recorded_if_its_trace_is(
    shop: Any, spans: list[tracing.Span], traceparent: str | None, recorded: bool, caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "order")
    await shop.confirm(id := await placed(shop, traceparent))

    found = [(span.attributes, span.error) for span in spans if span.name == "order"]
    expected = {"quayside.order.id": str(id), "quayside.order.status": "CONFIRMED"}
    assert found == ([(expected, None)] if recorded else [])
    assert caplog.messages == []


async def test_an_order_that_fails_is_recorded_and_logged_in_any_case(
    shop: Any, spans: list[tracing.Span], caplog: Any
) -> None:
    caplog.set_level(logging.INFO, "order")
    caplog.handler.setFormatter(JsonFormatter())
    id = await placed(shop, UNSAMPLED)
    await saga.stock_reserved(shop.db, [event(StockReserved(id))])
    await saga.payment_failed(shop.db, [event(PaymentFailed(id, "declined"))])

    (order,) = spans
    assert (order.name, order.trace_id, order.error) == ("order", TRACE, "PAYMENT_FAILED")
    line = json.loads(caplog.text)
    assert (line["message"], line["order_id"]) == (f"order {id} PAYMENT_FAILED: declined", str(id))
    assert (line["trace_id"], line["status"]) == (TRACE, "PAYMENT_FAILED")


async def test_a_slow_order_is_recorded_in_any_case(shop: Any, spans: list[tracing.Span]) -> None:
    id = await placed(shop, UNSAMPLED)
    execute(shop.db.url, "UPDATE orders SET created_at = created_at - interval '11 s'")

    await shop.confirm(id)

    (order,) = spans
    assert order.end - order.start > 11_000_000_000


async def test_a_refund_is_measured_from_its_own_start(shop: Any, spans: list[tracing.Span]) -> None:
    await shop.confirm(id := await placed(shop, UNSAMPLED))
    execute(shop.db.url, "UPDATE orders SET created_at = created_at - interval '1 day'")

    await saga.refund(shop.db, id)
    await saga.payment_cancelled(shop.db, [event(PaymentCancelled(id, True))])

    assert spans == []


async def test_a_refund_that_is_sent_again_still_began_when_it_was_asked_for(
    shop: Any, spans: list[tracing.Span]
) -> None:
    await shop.confirm(id := await placed(shop, UNSAMPLED))
    await saga.refund(shop.db, id)
    hour_ago = "- interval '1 h'"
    execute(
        shop.db.url,
        f"UPDATE orders SET undo_sent_at = undo_sent_at {hour_ago}",
        f"UPDATE order_history SET at = at {hour_ago} WHERE status = 'REFUNDING'",
    )

    assert await saga.resend_undo(shop.db) == 1
    await saga.payment_cancelled(shop.db, [event(PaymentCancelled(id, True))])

    (order,) = spans
    assert order.end - order.start > 3_600_000_000_000
