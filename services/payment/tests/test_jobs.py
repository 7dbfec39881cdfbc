"""The driver makes many calls at once, slow ones delay no others, and nothing is lost when it stops."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import msgspec
import pytest

from chassis import tracing
from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event
from chassis.testing.locks import somebody_waits
from payment import jobs, usecases
from payment.jobs import Driver
from payment.messages import Cancel, Charge
from payment.models import Answer, Payment

from .conftest import Ledger, cancel_event, charge_event


class Slow(Ledger):
    """Answers one payment method only when it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.released = asyncio.Event()

    async def charge(self, payment: Payment) -> Answer:
        if payment.payment_method == "tok_slow":
            await self.released.wait()
        return self.carry_out(payment)


class Broken(Ledger):
    """Raises the first time, as a bug of ours would."""

    async def charge(self, payment: Payment) -> Answer:
        if not self.calls:
            self.calls.append("failed")
            raise ZeroDivisionError
        return self.carry_out(payment)


async def captured(db: Database) -> int:
    async with db.connection() as c:
        count: int = await c.fetchval("SELECT count(*) FROM payments WHERE state = 'CAPTURED'")
        return count


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await check():  # noqa: ASYNC110 what is awaited is in a database
            await asyncio.sleep(0.02)


async def test_all_due_payments_are_asked_about_without_waiting_for_the_next_poll(
    db: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirteen rounds of sixteen."""
    monkeypatch.setattr(jobs, "POLL", 3600)
    async with Driver(db, {"psp": ledger}, concurrency=16) as driver:
        await asyncio.sleep(0.1)
        await usecases.charge(db, [charge_event(uuid7()) for _ in range(200)], "psp")
        driver.wake()

        async def done() -> bool:
            return await captured(db) == 200

        await eventually(done)


async def test_new_payments_are_asked_about_at_once_if_there_is_room(
    db: Database, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver neither polls nor leases them by itself."""
    leases: list[int] = []

    async def lease(db: Database, limit: int) -> list[Payment]:
        leases.append(limit)
        return []

    monkeypatch.setattr(usecases, "lease", lease)
    async with Driver(db, {"psp": ledger}, concurrency=16) as driver:
        await asyncio.sleep(0.1)
        leases.clear()
        await driver.charge([charge_event(uuid7()) for _ in range(16)], "psp")
        assert len(ledger.calls) == 0
        assert leases == []

        async def done() -> bool:
            return await captured(db) == 16

        await eventually(done)


async def test_new_payments_for_which_there_is_no_room_wait_for_their_turn(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "POLL", 3600)
    provider = Slow()
    async with Driver(db, {"psp": provider}, concurrency=4) as driver:
        await driver.charge([charge_event(uuid7(), payment_method="tok_slow") for _ in range(3)], "psp")
        await driver.charge([charge_event(uuid7()) for _ in range(5)], "psp")

        async def others_done() -> bool:
            return await captured(db) == 5

        await eventually(others_done)
        async with db.connection() as c:
            assert await c.fetchval("SELECT max(attempts) FROM payments") == 1
        provider.released.set()


async def test_slow_calls_delay_no_others(db: Database) -> None:
    provider = Slow()
    async with Driver(db, {"psp": provider}, concurrency=16) as driver:
        slow = [charge_event(uuid7(), payment_method="tok_slow") for _ in range(10)]
        await usecases.charge(db, slow, "psp")
        await usecases.charge(db, [charge_event(uuid7()) for _ in range(50)], "psp")
        driver.wake()

        async def quick_ones_done() -> bool:
            return await captured(db) == 50

        await eventually(quick_ones_done)
        provider.released.set()

        async def all_done() -> bool:
            return await captured(db) == 60

        await eventually(all_done)


async def test_a_bug_in_one_call_costs_a_retry_and_no_money(db: Database) -> None:
    provider = Broken()
    async with Driver(db, {"psp": provider}, concurrency=4) as driver:
        await usecases.charge(db, [charge_event(uuid7())], "psp")
        driver.wake()

        async def done() -> bool:
            return await captured(db) == 1

        await eventually(done)
    assert list(provider.taken.values()) == [4200]


async def test_a_driver_stops_within_one_deadline_while_its_database_and_a_provider_hang(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "STOP_WITHIN", 4.0)
    await usecases.charge(db, [charge_event(uuid7(), payment_method="tok_slow")], "psp")
    driver = await Driver(db, {"psp": Slow()}, concurrency=2).__aenter__()

    async def leased() -> bool:
        async with db.connection() as c:
            return bool(await c.fetchval("SELECT every(attempts = 1) FROM payments"))

    await eventually(leased)
    async with db.transaction() as tx:
        await tx.execute("LOCK TABLE payments")
        driver.wake()
        await somebody_waits(tx)
        async with asyncio.timeout(7.5):
            await driver.__aexit__()


async def test_a_driver_that_stops_writes_what_was_answered(db: Database) -> None:
    provider = Slow()
    await usecases.charge(db, [charge_event(uuid7(), payment_method="tok_slow") for _ in range(20)], "psp")
    async with Driver(db, {"psp": provider}, concurrency=20) as driver:
        driver.wake()

        async def leased() -> bool:
            async with db.connection() as c:
                return bool(await c.fetchval("SELECT every(attempts = 1) FROM payments"))

        await eventually(leased)
        asyncio.get_running_loop().call_later(0.2, provider.released.set)
    assert await captured(db) == 20


def traced(event: Event[Any], number: int) -> Event[Any]:
    return msgspec.structs.replace(event, traceparent=f"00-{number:032x}-{number:016x}-01")


async def replies(db: Database) -> dict[UUID, str]:
    """The traceparent of the latest reply to each order."""
    async with db.connection() as c:
        rows = await c.fetch("SELECT subject, traceparent FROM outbox ORDER BY id")
    return {UUID(row["subject"]): row["traceparent"] for row in rows}


async def test_the_request_and_the_reply_continue_the_trace_of_the_charge(
    db: Database, ledger: Ledger, spans: list[tracing.Span]
) -> None:
    events = [traced(charge_event(uuid7()), 1), traced(charge_event(uuid7()), 2)]
    with tracing.processing("payment", Charge.type, events):
        await usecases.charge(db, events, "psp")

    async with Driver(db, {"psp": ledger}, concurrency=4):

        async def answered() -> bool:
            return len(await replies(db)) == 2

        await eventually(answered)

    processed = {span.attributes["quayside.subject"]: span for span in spans if span.name == "process payment"}
    charges = [span for span in spans if span.name == "charge"]
    assert await replies(db) == {UUID(str(id)): span.traceparent for id, span in processed.items()}
    for charge in charges:
        parent = processed[charge.attributes["quayside.order.id"]]
        assert (charge.trace_id, charge.parent_id, charge.error) == (parent.trace_id, parent.span_id, None)
        assert charge.attributes["quayside.payment.provider"] == "psp"
        assert charge.attributes["quayside.payment.outcome"] == "succeeded"
        assert charge.attributes["quayside.payment.attempt"] == 1
    assert len(charges) == 2


async def test_an_attempt_without_an_answer_is_an_error_in_the_trace(
    db: Database, ledger: Ledger, spans: list[tracing.Span]
) -> None:
    ledger.lost = 1
    event = traced(charge_event(uuid7()), 1)
    with tracing.processing("payment", Charge.type, [event]):
        await usecases.charge(db, [event], "psp")

    async with Driver(db, {"psp": ledger}, concurrency=4):

        async def answered() -> bool:
            return len(await replies(db)) == 1

        await eventually(answered)

    attempts = [span for span in spans if span.name == "charge"]
    assert [span.attributes["quayside.payment.attempt"] for span in attempts] == [1, 2]
    assert [span.error for span in attempts] == ["no-answer", None]


async def test_a_refund_continues_the_trace_of_its_cancel(
    db: Database, ledger: Ledger, spans: list[tracing.Span]
) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    cancelled = traced(cancel_event(order_id), 3)

    async with Driver(db, {"psp": ledger}, concurrency=4) as driver:

        async def charged() -> bool:
            return await captured(db) == 1

        await eventually(charged)
        with tracing.processing("payment", Cancel.type, [cancelled]):
            await usecases.cancel(db, [cancelled])
        driver.wake()

        async def refunded() -> bool:
            async with db.connection() as c:
                return bool(await c.fetchval("SELECT every(state = 'REFUNDED') FROM payments"))

        await eventually(refunded)

    (processed,) = (span for span in spans if span.name == "process payment")
    (refund,) = (span for span in spans if span.name == "refund")
    assert (refund.parent_id, refund.trace_id) == (processed.span_id, f"{3:032x}")
    assert (await replies(db))[order_id] == processed.traceparent
