"""Payments in a real database, with the provider replaced behind its protocol."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chassis import outbox, tracing
from chassis.db import Database
from chassis.ids import uuid7
from chassis.testing.clock import clock_off
from chassis.testing.locks import somebody_waits
from payment import models, repository, usecases
from payment.messages import Charge
from payment.models import Answer, Outcome, Payment, State
from payment.tables import metadata
from payment.usecases import Hint, Result

from .conftest import Ledger, cancel_event, charge_event


async def drive(db: Database, ledger: Ledger) -> list[Payment]:
    """Asks once about every due payment, as the driver does."""
    leased = await usecases.lease(db, 100)
    await usecases.settle(db, [await asked_of(ledger, payment) for payment in leased])
    return leased


async def asked_of(ledger: Ledger, payment: Payment) -> Result:
    answer = await usecases.ask({"psp": ledger}, payment)
    return Result(payment, answer)


async def state_of(db: Database, order_id: UUID) -> State:
    async with db.connection() as c:
        return State(await c.fetchval("SELECT state FROM payments WHERE order_id = $1", order_id))


async def replies(db: Database) -> list[str]:
    async with db.connection() as c:
        return [row[0] for row in await c.fetch("SELECT routing_key FROM outbox ORDER BY id")]


async def execute(db: Database, sql: str, *arguments: Any) -> None:
    async with db.connection() as c:
        await c.execute(sql, *arguments)


async def make_due(db: Database) -> None:
    await execute(db, "UPDATE payments SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")


async def test_a_charge_is_captured_and_answered_once(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    event = charge_event(order_id)
    await usecases.charge(db, [event], "psp")
    await usecases.charge(db, [event], "psp")
    assert await replies(db) == [], "a charge only inserts"
    assert len(await drive(db, ledger)) == 1
    assert await drive(db, ledger) == []
    assert await replies(db) == ["payment.captured.v1"]
    assert ledger.taken == {order_id: 4200}


async def test_a_declined_charge_says_why(db: Database, ledger: Ledger) -> None:
    ledger.declines = True
    await usecases.charge(db, [charge_event(uuid7())], "psp")
    await drive(db, ledger)
    async with db.connection() as c:
        key, reason = await c.fetchrow("SELECT routing_key, data->>'reason' FROM outbox")
    assert (key, reason) == ("payment.failed.v1", "declined")


async def test_after_a_lost_answer_the_same_key_is_asked_again(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    ledger.lost = 1
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await drive(db, ledger)
    assert await state_of(db, order_id) is State.UNKNOWN
    await execute(  # if there is a pause, which is short, this machine must not sleep through it
        db, "UPDATE payments SET next_attempt_at = next_attempt_at + interval '1 h' WHERE next_attempt_at > updated_at"
    )
    assert await drive(db, ledger) == [], "it backs off"
    await make_due(db)
    await drive(db, ledger)
    assert ledger.calls == [f"{order_id}:charge"] * 2
    assert ledger.taken == {order_id: 4200}
    assert await replies(db) == ["payment.captured.v1"]


async def test_a_crash_between_lease_and_result_leaves_a_payment_that_is_due_again(
    db: Database, ledger: Ledger
) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    (leased,) = await usecases.lease(db, 10)
    await asked_of(ledger, leased)  # the money moved, and the process died
    assert await usecases.lease(db, 10) == [], "the lease holds"
    await make_due(db)
    await drive(db, ledger)
    assert ledger.taken == {order_id: 4200}
    assert await replies(db) == ["payment.captured.v1"]


async def test_concurrent_drivers_never_lease_one_payment_twice(db: Database) -> None:
    await usecases.charge(db, [charge_event(uuid7()) for _ in range(60)], "psp")
    batches = await asyncio.gather(*(usecases.lease(db, 20) for _ in range(4)))
    leased = [payment.order_id for batch in batches for payment in batch]
    assert len(leased) == len(set(leased))
    rest = await usecases.lease(db, 100)
    assert len(leased) + len(rest) == 60


async def test_a_payment_that_is_being_changed_delays_no_other_due_ones(db: Database) -> None:
    changing, due = uuid7(), uuid7()
    await usecases.charge(db, [charge_event(changing), charge_event(due)], "psp")
    async with db.transaction() as tx:
        await repository.lock(tx, [changing])
        assert [payment.order_id for payment in await asyncio.wait_for(usecases.lease(db, 10), 10)] == [due]


async def test_an_answer_waits_for_the_cancel_that_is_being_written(db: Database, ledger: Ledger) -> None:
    """Each reads the payment as the other left it, so what was captured is refunded."""
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    (leased,) = await usecases.lease(db, 10)
    result = await asked_of(ledger, leased)
    async with db.transaction() as tx:
        (payment,) = (await repository.lock(tx, [order_id])).values()
        await repository.save(tx, [models.cancel(payment)[0]])
        settling = asyncio.create_task(usecases.settle(db, [result]))
        await somebody_waits(tx)
    await settling
    await drive(db, ledger)

    assert await state_of(db, order_id) is State.REFUNDED
    assert ledger.taken == {order_id: 0}


async def test_cancel_before_charge_refuses_it(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.cancel(db, [cancel_event(order_id)])
    await usecases.charge(db, [charge_event(order_id)], "psp")
    assert await drive(db, ledger) == []
    assert await state_of(db, order_id) is State.CANCELLED
    assert await replies(db) == ["payment.cancelled.v1"]


async def test_a_redelivered_cancel_is_answered_once_and_a_new_one_again(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    event = cancel_event(order_id)
    await usecases.cancel(db, [event, event])
    await usecases.cancel(db, [event])
    assert await replies(db) == ["payment.cancelled.v1"]
    await usecases.cancel(db, [cancel_event(order_id)])
    assert await replies(db) == ["payment.cancelled.v1"] * 2


async def test_cancel_of_a_charge_that_was_never_asked(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await usecases.cancel(db, [cancel_event(order_id)])
    assert await drive(db, ledger) == []
    assert (await replies(db), ledger.calls) == (["payment.cancelled.v1"], [])


@pytest.mark.parametrize(("declines", "rest"), [(False, State.REFUNDED), (True, State.CANCELLED)])
async def test_cancel_while_the_provider_is_asked(db: Database, ledger: Ledger, declines: bool, rest: State) -> None:
    order_id = uuid7()
    ledger.declines = declines
    await usecases.charge(db, [charge_event(order_id)], "psp")
    (leased,) = await usecases.lease(db, 10)
    result = await asked_of(ledger, leased)
    await usecases.cancel(db, [cancel_event(order_id)])
    assert await replies(db) == [], "whether money was taken is not known yet"
    await usecases.settle(db, [result])
    await drive(db, ledger)
    assert await state_of(db, order_id) is rest
    assert await replies(db) == ["payment.cancelled.v1"]
    assert sum(ledger.taken.values()) == 0


async def test_cancel_of_a_captured_payment_refunds_it_and_answers_afterwards(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await drive(db, ledger)
    await usecases.cancel(db, [cancel_event(order_id)])
    assert await replies(db) == ["payment.captured.v1"]
    await drive(db, ledger)
    assert await state_of(db, order_id) is State.REFUNDED
    await usecases.cancel(db, [cancel_event(order_id)])
    await drive(db, ledger)
    assert await replies(db) == ["payment.captured.v1", *["payment.cancelled.v1"] * 2]
    assert (ledger.taken, len(ledger.calls)) == ({order_id: 0}, 2)


async def test_a_refused_refund_stays_visible_until_the_provider_does_it(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await drive(db, ledger)
    ledger.refuses_refunds = True
    await usecases.cancel(db, [cancel_event(order_id)])
    await drive(db, ledger)
    async with db.connection() as c:
        assert await c.fetchval("SELECT array_agg(order_id) FROM payments WHERE stuck") == [order_id]
    ledger.refuses_refunds = False
    await make_due(db)
    await drive(db, ledger)
    async with db.connection() as c:
        row = await c.fetchrow("SELECT state, stuck FROM payments")
    assert tuple(row) == ("REFUNDED", False)


async def test_late_and_duplicate_answers_change_nothing(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    (leased,) = await usecases.lease(db, 10)
    result = await asked_of(ledger, leased)
    lost = Result(leased, Answer(Outcome.UNKNOWN, "no-answer"))
    await usecases.settle(db, [lost, result, result, lost])
    await usecases.settle(db, [lost, result])
    assert await state_of(db, order_id) is State.CAPTURED
    assert await replies(db) == ["payment.captured.v1"]


async def test_an_answer_that_comes_twice_is_written_once(db: Database, ledger: Ledger) -> None:
    await usecases.charge(db, [charge_event(uuid7())], "psp")
    (leased,) = await usecases.lease(db, 10)
    result = await asked_of(ledger, leased)
    await usecases.settle(db, [result])
    await usecases.settle(db, [result])
    assert await replies(db) == ["payment.captured.v1"]


async def test_a_charge_that_is_delivered_again_is_due_again(db: Database, ledger: Ledger) -> None:
    """The process that leased it may have been killed, or not know that its statement was committed."""
    event = charge_event(uuid7())
    assert len(await usecases.charge(db, [event], "psp", lease=True)) == 1
    assert await drive(db, ledger) == []
    assert await usecases.charge(db, [event], "psp", lease=True) == ()
    assert [payment.attempts for payment in await drive(db, ledger)] == [2]
    assert await replies(db) == ["payment.captured.v1"]


@pytest.mark.parametrize("moved", [True, False])
async def test_an_old_key_is_looked_up_and_never_sent_again(db: Database, ledger: Ledger, moved: bool) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    (leased,) = await usecases.lease(db, 10)
    if moved:
        await asked_of(ledger, leased)
    await execute(db, "UPDATE payments SET first_attempt_at = now() - interval '24 h'")
    await make_due(db)
    ledger.forgotten = True
    await drive(db, ledger)
    async with db.connection() as c:
        state, stuck = await c.fetchrow("SELECT state, stuck FROM payments")
    assert (state, stuck) == (("CAPTURED", False) if moved else ("UNKNOWN", True))


async def row_of(db: Database, order_id: UUID) -> dict[str, Any]:
    async with db.connection() as c:
        return dict(await c.fetchrow("SELECT * FROM payments WHERE order_id = $1", order_id) or {})


async def test_a_row_records_its_provider_and_the_providers_reference(db: Database, ledger: Ledger) -> None:
    charged, tombstone = uuid7(), uuid7()
    await usecases.charge(db, [charge_event(charged, payment_method="pm_1NXWPnLkdIwHu7ix")], "psp")
    await usecases.cancel(db, [cancel_event(tombstone)])
    await drive(db, ledger)
    row = await row_of(db, charged)
    assert (row["payment_method"], row["provider"]) == ("pm_1NXWPnLkdIwHu7ix", "psp")
    assert row["provider_reference"] == f"ch_{charged}"
    assert (await row_of(db, tombstone))["provider"] is None


async def test_an_open_payment_stays_with_the_provider_that_began_it(db: Database) -> None:
    old, new = Ledger(), Ledger()
    first, second = uuid7(), uuid7()
    await usecases.charge(db, [charge_event(first)], "psp")
    await usecases.charge(db, [charge_event(first), charge_event(second)], "stripe")  # the setting has changed
    for payment in await usecases.lease(db, 10):
        assert (await usecases.ask({"psp": old, "stripe": new}, payment)).outcome is Outcome.SUCCEEDED
    assert (old.taken, new.taken) == ({first: 4200}, {second: 4200})


async def test_a_payment_of_a_provider_without_keys_waits_for_an_operator(db: Database, ledger: Ledger) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "stripe")
    await drive(db, ledger)
    row = await row_of(db, order_id)
    assert (row["state"], row["stuck"], row["reason"]) == ("UNKNOWN", True, "provider-not-configured")
    assert ledger.calls == []


async def test_a_payment_of_the_release_before_is_the_sandboxs(db: Database, ledger: Ledger) -> None:
    """During an update its processes still insert rows without a provider."""
    order_id = uuid7()
    await execute(
        db,
        "INSERT INTO payments (order_id, state, amount, currency, payment_method, next_attempt_at)"
        " VALUES ($1, 'REQUESTED', 4200, 'EUR', 'tok_visa', now())",
        order_id,
    )
    await drive(db, ledger)
    assert await state_of(db, order_id) is State.CAPTURED


@pytest.mark.parametrize(
    ("reason", "stored"),
    [
        ("insufficient_funds", "insufficient_funds"),
        ("R05.Not-Authorised", "R05.Not-Authorised"),
        ("no money\n", "unreadable-reason"),
        ("x\x00", "unreadable-reason"),
        ("x" * 65, "unreadable-reason"),
    ],
)
async def test_a_reason_is_stored_if_it_is_one_word(db: Database, reason: str, stored: str) -> None:
    class Declining(Ledger):
        async def charge(self, payment: Payment) -> Answer:
            return Answer(Outcome.REFUSED, reason)

    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await drive(db, Declining())
    assert (await row_of(db, order_id))["reason"] == stored


async def test_a_hint_makes_an_unanswered_payment_due_and_leaves_others_alone(db: Database, ledger: Ledger) -> None:
    known, unknown = uuid7(), uuid7()
    await usecases.charge(db, [charge_event(known)], "psp")
    await drive(db, ledger)
    ledger.lost = 1
    await usecases.charge(db, [charge_event(unknown)], "psp")
    await drive(db, ledger)
    hints = [Hint(order_id, int(time.time())) for order_id in (known, unknown, uuid7())]
    assert [await usecases.hint(db, hint) for hint in hints] == [False, True, False]
    assert [payment.order_id for payment in await usecases.lease(db, 10)] == [unknown]


@pytest.mark.parametrize("failed", [True, False])
async def test_a_refund_that_is_said_to_have_failed_is_believed_only_after_the_provider_was_asked(
    db: Database, ledger: Ledger, failed: bool
) -> None:
    order_id = uuid7()
    await usecases.charge(db, [charge_event(order_id)], "psp")
    await drive(db, ledger)
    await usecases.cancel(db, [cancel_event(order_id)])
    await drive(db, ledger)
    if failed:
        ledger.results[f"{order_id}:refund"] = Answer(Outcome.REFUSED, "lost_or_stolen_card", stuck=True)
    assert await usecases.hint(db, Hint(order_id, int(time.time()), refund_failed=True))
    await drive(db, ledger)
    row = await row_of(db, order_id)
    assert (row["state"], row["stuck"], row["reason"]) == (
        ("REFUNDING", True, "lost_or_stolen_card") if failed else ("REFUNDED", False, None)
    )
    assert ledger.taken == {order_id: 0}, "no second refund"


async def test_overlapping_batches_in_any_order_do_not_deadlock(db: Database, ledger: Ledger) -> None:
    orders = [uuid7() for _ in range(40)]
    batches: list[Any] = []
    for turn in (orders, orders[::-1], orders[20:] + orders[:20]):
        batches += [usecases.charge(db, [charge_event(o) for o in turn], "psp")]
        batches += [usecases.cancel(db, [cancel_event(o) for o in turn])]
    await asyncio.gather(*batches)
    while await drive(db, ledger):
        pass
    assert sum(ledger.taken.values()) == 0
    assert (await replies(db)).count("payment.cancelled.v1") == 120


async def test_a_migration_under_a_running_service_fails_no_step(db: Database, ledger: Ledger) -> None:
    async def every_step() -> State:
        order_id = uuid7()
        ledger.lost = 1
        await usecases.charge(db, [charge_event(order_id)], "psp")
        await drive(db, ledger)
        await usecases.hint(db, Hint(order_id, int(time.time())))
        await drive(db, ledger)
        await usecases.cancel(db, [cancel_event(order_id)])
        await drive(db, ledger)
        return await state_of(db, order_id)

    await every_step()
    for table in metadata.tables:
        await execute(db, f"ALTER TABLE {table} ADD COLUMN later text DEFAULT ''")

    assert await every_step() is State.REFUNDED


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_with_a_clock_that_is_off_a_refund_is_due_at_once(db: Database, ledger: Ledger, seconds: int) -> None:
    captured, asked = uuid7(), uuid7()
    with clock_off(seconds):
        await usecases.charge(db, [charge_event(captured)], "psp")
        await drive(db, ledger)
        await usecases.cancel(db, [cancel_event(captured)])
        await usecases.charge(db, [charge_event(asked)], "psp")
        leased = {payment.order_id: payment for payment in await usecases.lease(db, 10)}
        assert leased.keys() == {captured, asked}
        await usecases.cancel(db, [cancel_event(asked)])
        await usecases.settle(db, [await asked_of(ledger, payment) for payment in leased.values()])
        assert [payment.order_id for payment in await usecases.lease(db, 10)] == [asked]


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_with_a_clock_that_is_off_the_back_off_is_the_same(db: Database, ledger: Ledger, seconds: int) -> None:
    with clock_off(seconds):
        ledger.lost = 1
        await usecases.charge(db, [charge_event(uuid7())], "psp")
        await drive(db, ledger)
    async with db.connection() as c:
        wait: timedelta = await c.fetchval("SELECT next_attempt_at - updated_at FROM payments")
    assert timedelta(seconds=0.4) < wait < timedelta(seconds=1.1)


@pytest.mark.parametrize(("seconds", "age", "sent"), [(600, "22 h 55 min", True), (-600, "23 h 5 min", False)])
async def test_with_a_clock_that_is_off_the_age_of_a_key_is_the_same(
    db: Database, ledger: Ledger, seconds: int, age: str, sent: bool
) -> None:
    ledger.lost = 1
    await usecases.charge(db, [charge_event(uuid7())], "psp")
    await drive(db, ledger)
    await execute(db, f"UPDATE payments SET first_attempt_at = now() - interval '{age}'")
    await make_due(db)
    with clock_off(seconds):
        await drive(db, ledger)
    assert len(ledger.calls) == (2 if sent else 1)


@pytest.mark.parametrize(
    ("usecase", "made"),
    [
        (partial(usecases.charge, provider="psp"), charge_event),
        (partial(usecases.charge, provider="psp", lease=True), charge_event),
        (usecases.cancel, cancel_event),
    ],
    ids=["charge", "charge and lease", "cancel"],
)
async def test_new_payments_are_inserted_in_the_order_of_their_keys(db: Database, usecase: Any, made: Any) -> None:
    """Otherwise this transaction and its rival, which got them in reverse, would wait for each other."""
    first, second = sorted([uuid7(), uuid7()])
    async with db.transaction() as tx:
        await repository.insert_tombstones(tx, [first])
        rival = asyncio.create_task(usecase(db, [made(second), made(first)]))
        await somebody_waits(tx)
        await repository.insert_tombstones(tx, [second])
    await rival


async def test_answers_are_written_in_the_order_of_their_keys(db: Database, ledger: Ledger) -> None:
    first, second = sorted([uuid7(), uuid7()])
    leased = await usecases.charge(db, [charge_event(second), charge_event(first)], "psp", lease=True)
    results = [await asked_of(ledger, payment) for payment in leased]
    async with db.transaction() as tx:
        await repository.lock(tx, [first])
        rival = asyncio.create_task(usecases.settle(db, sorted(results, key=by_order, reverse=True)))
        await somebody_waits(tx)
        await repository.lock(tx, [second])
    await rival
    assert await replies(db) == ["payment.captured.v1"] * 2


def by_order(result: Result) -> UUID:
    return result.payment.order_id


async def test_a_payment_is_leased_and_settled_in_one_statement_each(
    db: Database, ledger: Ledger, spans: list[tracing.Span]
) -> None:
    events = [msgspec.structs.replace(charge_event(uuid7()), traceparent=f"00-{1:032x}-{1:016x}-01")]
    with tracing.processing("payment", Charge.type, events):
        (leased,) = await usecases.charge(db, events, "psp", lease=True)
    with tracing.inside(tracing.extract(leased.traceparent)):
        await usecases.settle(db, [Result(leased, Answer(Outcome.SUCCEEDED))])

    assert [span.name for span in spans if span.kind == tracing.CLIENT] == ["INSERT payments", "UPDATE payments"]
    assert await replies(db) == ["payment.captured.v1"]


STEPS = st.one_of(
    st.tuples(st.just("charge"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("charge"), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("cancel"), st.integers(0, 3), st.booleans()),
    st.tuples(st.sampled_from(list(Outcome)), st.integers(0, 3), st.booleans()),
    st.tuples(st.just("hint"), st.integers(0, 3), st.just(False)),
)
Step = tuple[str, int, bool]


@pytest.fixture
async def other(database: Callable[[str], str]) -> AsyncIterator[Database]:
    async with Database(database("payment"), name="other") as db:
        yield db


async def contents(db: Database) -> list[list[str]]:
    """All rows of all tables, without the IDs that the database makes; of times only whether there is one."""
    async with db.connection() as c:
        return [
            sorted(
                str({key: value is None if key.endswith("_at") else value for key, value in row.items() if key != "id"})
                for row in await c.fetch(f"SELECT * FROM {table}")
            )
            for table in metadata.tables
        ]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEPS, min_size=1, max_size=16), cuts=st.sets(st.integers(1, 15)))
async def test_the_usual_case_leaves_the_same_rows_and_messages_as_the_general_code(
    db: Database, other: Database, steps: list[Step], cuts: set[int]
) -> None:
    """Events come again, answers come twice or late, and batches are cut anywhere."""

    async def unusual(*_: object) -> None:
        return None

    batches: list[list[Step]] = []
    for index, step in enumerate(steps):
        same = batches and (batches[-1][0][0] == step[0] or {batches[-1][0][0], step[0]} <= set(Outcome))
        if not same or index in cuts:
            batches.append([])
        batches[-1].append(step)
    events: dict[Step, Any] = {}
    for kind, number, again in steps:
        made = {"charge": charge_event, "cancel": cancel_event}.get(kind)
        if made is not None:
            events.setdefault((kind, number, again), made(UUID(int=number)))

    usual = await run(db, batches, events)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repository, "usual", unusual)
        assert await run(other, batches, events) == usual


async def run(db: Database, batches: list[list[Step]], events: dict[Step, Any]) -> tuple[object, ...]:
    """Carries out the steps as a driver would, and returns the messages for the relay, and all rows."""
    await execute(db, f"TRUNCATE {', '.join(metadata.tables)}")
    handed: list[outbox.Row] = []
    db.after_messages[:] = [handed.extend]
    asked: list[Payment] = []
    for batch in batches:
        match batch[0][0]:
            case "charge":
                asked += await usecases.charge(db, [events[step] for step in batch], "psp", lease=True)
            case "cancel":
                await usecases.cancel(db, [events[step] for step in batch])
            case "hint":
                for _, number, _ in batch:
                    await usecases.hint(db, Hint(UUID(int=number), int(time.time())))
            case _:
                results = []
                for outcome, number, again in batch:
                    for payment in [payment for payment in asked if payment.order_id.int == number][:1]:
                        results.append(Result(payment, Answer(Outcome(outcome), "a-reason", reference=f"ch_{number}")))
                        if not again:
                            asked.remove(payment)
                if results:
                    await usecases.settle(db, results)
                # A back-off is short, and a slow machine must not sleep through it.
                pushed = (
                    "UPDATE payments SET next_attempt_at = now() + interval '1 h' WHERE next_attempt_at < now() + $1"
                )
                await execute(db, f"{pushed} AND state <> 'REQUESTED' AND attempts > 0", timedelta(seconds=30))
        asked += sorted(await usecases.lease(db, 100), key=lambda payment: payment.order_id)
    return [row[1:] for row in handed], await contents(db)
