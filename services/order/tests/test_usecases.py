"""Placing orders and running the saga, on a real database."""

import asyncio
import json
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from chassis import tracing
from chassis.db import Database
from chassis.errors import Conflict, Invalid, NotFound, Problem, Unavailable
from chassis.outbox import Row
from chassis.testing.clock import clock_off
from chassis.testing.locks import somebody_waits
from chassis.waiting import deadline, deadline_passed
from order import repository
from order.messages import PaymentCancelled, PaymentCaptured, PaymentFailed, StockRejected, StockReserved
from order.models import TRANSITIONS, UNDO, Status
from order.usecases import saga
from order.usecases.deduplication import Placed
from order.usecases.placing import Cart
from order.usecases.pricing import Product

from .conftest import event


async def scalar(db: Database, sql: str, *arguments: object) -> Any:
    async with db.connection() as connection:
        return await connection.fetchval(sql, *arguments)


async def status(db: Database, id: UUID) -> str:
    return str(await scalar(db, "SELECT status FROM orders WHERE id = $1", id))


async def history(db: Database, id: UUID) -> list[tuple[int, str]]:
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT seq, status FROM order_history WHERE order_id = $1 ORDER BY seq", id)
    return [(row["seq"], row["status"]) for row in rows]


async def outbox(db: Database) -> list[str]:
    async with db.connection() as connection:
        return [row["routing_key"] for row in await connection.fetch("SELECT routing_key FROM outbox ORDER BY id")]


async def refused(coroutine: Any) -> Problem:
    with pytest.raises(Problem) as caught:
        await coroutine
    return caught.value


# --- placing -------------------------------------------------------------------------------------


async def test_an_order_is_stored_with_its_history_and_its_first_command(shop) -> None:
    placed = await shop.placement.place(shop.request())

    assert not placed.replayed
    assert await history(shop.db, placed.order_id) == [(1, "PENDING")]
    assert await outbox(shop.db) == ["catalog.reserve-stock.v1"]
    assert await scalar(shop.db, "SELECT total FROM orders") == 1250


async def test_placing_is_one_statement(shop, spans) -> None:
    with tracing.inside(tracing.extract(f"00-{1:032x}-{1:016x}-01")):
        await shop.placement.place(shop.request())

    assert [span.name for span in spans] == ["INSERT orders"]


async def test_only_orders_that_are_stored_have_a_command(shop) -> None:
    given: list[Row] = []
    shop.db.after_messages.append(given.extend)
    await shop.placement.place(shop.request("bob"))

    answers = await asyncio.gather(
        *(shop.placement.place(shop.request(name, key="another")) for name in ("cyd", "bob", "ann")),
        return_exceptions=True,
    )

    assert [getattr(answer, "slug", "placed") for answer in answers] == ["placed", "cart-already-ordered", "placed"]
    async with shop.db.connection() as connection:
        assert given == [Row(*row) for row in await connection.fetch("SELECT * FROM outbox ORDER BY id")]
        ids = {row["id"] for row in await connection.fetch("SELECT id FROM orders")}
    assert {UUID(row.subject) for row in given} == {UUID(json.loads(row.data)["order_id"]) for row in given} == ids


async def test_the_same_key_and_body_is_the_same_order_even_when_the_cart_has_changed(shop) -> None:
    request = shop.request()
    first = await shop.placement.place(request)
    shop.carts.carts[request.token] = Cart(None, [])

    assert await shop.placement.place(request) == Placed(first.order_id, replayed=True)
    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 1


async def test_fifty_callers_with_one_key_make_one_order(shop, monkeypatch) -> None:
    monkeypatch.setattr("order.usecases.deduplication.MAX_WAIT_SECONDS", 30)
    request = shop.request()

    answers = await asyncio.gather(*(shop.placement.place(request) for _ in range(50)))

    assert len({answer.order_id for answer in answers}) == 1
    assert sum(not answer.replayed for answer in answers) == 1
    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 1


async def test_two_processes_with_one_key_make_one_order(shop) -> None:
    """Both have found that the key is new, and the carts differ: only the index of the keys can refuse the second."""
    first = shop.request()
    second = replace(first, token="of another cart", cart_version="another", request_hash=b"other")
    shop.carts.carts[second.token] = Cart(second.cart_version, [("MUG-1", 2), ("TEA-1", 1)])
    read, arrived = shop.carts.read, asyncio.Barrier(2)

    async def together(token: str) -> Cart:
        await arrived.wait()
        return await read(token)

    shop.carts.read = together
    answers = await asyncio.gather(
        shop.placement.place(first), shop.another_process().place(second), return_exceptions=True
    )

    assert sorted(getattr(answer, "slug", "placed") for answer in answers) == ["key-reused", "placed"]
    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 1


async def test_fifty_shoppers_at_once_share_transactions_and_calls(shop) -> None:
    requests = [shop.request(f"shopper-{n}") for n in range(50)]

    await asyncio.gather(*(shop.placement.place(request) for request in requests))

    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 50
    assert await scalar(shop.db, "SELECT count(DISTINCT xmin::text) FROM orders") < 10
    assert len(shop.products.calls) < 10


async def test_the_same_key_with_another_body_is_refused(shop) -> None:
    await shop.placement.place(shop.request())
    assert (await refused(shop.placement.place(shop.request(request_hash=b"other")))).slug == "key-reused"


async def test_a_key_that_was_used_says_so_whatever_is_wrong_with_the_new_request(shop) -> None:
    request = shop.request()
    await shop.placement.place(request)
    other = replace(request, request_hash=b"other", cart_version="another")
    for cart in (Cart("another", [("MUG-1", 2), ("TEA-1", 1)]), Cart("another", [("GONE-1", 1)]), Cart(None, [])):
        shop.carts.carts[request.token] = cart
        assert (await refused(shop.placement.place(other))).slug == "key-reused"

    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 1


@pytest.mark.parametrize(("service", "call"), [("carts", "read"), ("products", "find")])
async def test_a_replay_needs_neither_the_cart_nor_the_catalog(shop, monkeypatch, service: str, call: str) -> None:
    async def down(*_: object) -> None:
        raise Unavailable("down", "The service does not answer", "Try again later.")

    request = shop.request()
    placed = await shop.placement.place(request)
    monkeypatch.setattr(getattr(shop, service), call, down)

    assert await shop.placement.place(request) == Placed(placed.order_id, replayed=True)


async def test_a_cart_that_does_not_answer_leaves_time_to_look_for_an_earlier_order(shop) -> None:
    asked_until: list[float | None] = []

    async def hangs(*_: object) -> None:
        asked_until.append(deadline.get())
        raise deadline_passed()

    request = shop.request()
    placed = await shop.placement.place(request)
    shop.carts.read = hangs
    client_waits_until = time.monotonic() + 60
    deadline.set(client_waits_until)

    assert await shop.placement.place(request) == Placed(placed.order_id, replayed=True)
    assert asked_until == [pytest.approx(client_waits_until - 0.5)]


async def test_a_first_request_that_takes_too_long_is_in_flight(shop, monkeypatch) -> None:
    monkeypatch.setattr("order.usecases.deduplication.MAX_WAIT_SECONDS", 0.05)
    go_on = asyncio.Event()
    read = shop.carts.read

    async def slowly(token: str) -> Cart:
        await go_on.wait()
        return await read(token)

    shop.carts.read = slowly
    request = shop.request()
    first = asyncio.create_task(shop.placement.place(request))
    await asyncio.sleep(0)

    assert (await refused(shop.placement.place(request))).slug == "in-flight"
    go_on.set()
    assert not (await first).replayed


async def test_a_changed_price_is_refused_with_a_quote_and_stores_nothing(shop) -> None:
    request = shop.request()
    shop.products.products["MUG-1"] = Product("Mug", 600, "EUR", 100)

    problem = await refused(shop.placement.place(request))

    assert isinstance(problem, Conflict)
    assert (problem.slug, problem.members["quote"]) == ("price-changed", {"amount": 1450, "currency": "EUR"})
    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 0
    assert await outbox(shop.db) == []


@pytest.mark.parametrize("left", [0, 1])
async def test_what_the_stock_does_not_suffice_for_is_refused_at_once_and_stores_nothing(shop, left: int) -> None:
    shop.products.products["MUG-1"] = Product("Mug", 600, "EUR", left)

    problem = await refused(shop.placement.place(shop.request()))  # it wants two mugs, and their price has changed too

    assert isinstance(problem, Conflict)
    assert (problem.slug, problem.members["skus"]) == ("sold-out", ["MUG-1"])
    assert await scalar(shop.db, "SELECT count(*) FROM orders") == 0
    assert await outbox(shop.db) == []


async def test_the_last_units_can_be_ordered_and_the_order_stands_when_they_are_gone(shop) -> None:
    shop.products.products["MUG-1"] = Product("Mug", 500, "EUR", 2)
    request = shop.request()
    placed = await shop.placement.place(request)
    shop.products.products["MUG-1"] = Product("Mug", 500, "EUR", 0)

    assert await shop.placement.place(request) == Placed(placed.order_id, replayed=True)


async def test_a_key_that_was_refused_for_lack_of_stock_can_be_used_again(shop) -> None:
    shop.products.products["MUG-1"] = Product("Mug", 500, "EUR", 0)
    request = shop.request()
    assert (await refused(shop.placement.place(request))).slug == "sold-out"
    shop.products.products["MUG-1"] = Product("Mug", 500, "EUR", 2)

    assert not (await shop.placement.place(request)).replayed


async def test_a_new_price_counts_from_the_next_order_on(shop) -> None:
    await shop.placement.place(shop.request("ann"))
    shop.products.products["MUG-1"] = Product("Mug", 600, "EUR", 100)

    assert (await refused(shop.placement.place(shop.request("bob")))).slug == "price-changed"


async def test_another_version_of_the_cart_is_refused(shop) -> None:
    request = shop.request()
    shop.carts.carts[request.token] = Cart("another version", [("MUG-1", 1)])
    problem = await refused(shop.placement.place(request))
    assert problem.slug == "cart-changed"


async def test_a_cart_is_ordered_once_whatever_the_key(shop) -> None:
    await shop.placement.place(shop.request())
    assert (await refused(shop.placement.place(shop.request(key="another")))).slug == "cart-already-ordered"


async def test_the_shopper_who_has_bought_the_last_units_is_told_so(shop) -> None:
    await shop.placement.place(shop.request())
    shop.products.products["MUG-1"] = Product("Mug", 500, "EUR", 0)
    assert (await refused(shop.placement.place(shop.request(key="another")))).slug == "cart-already-ordered"


async def test_a_cart_that_was_ordered_and_emptied_still_counts_as_ordered(shop) -> None:
    request = shop.request()
    await shop.placement.place(request)
    shop.carts.carts[request.token] = Cart(None, [])
    late = shop.request(key="another", cart_version=request.cart_version)
    assert (await refused(shop.placement.place(replace(late, cart_version=request.cart_version)))).slug == (
        "cart-already-ordered"
    )


async def test_a_cart_whose_order_failed_may_be_ordered_again(shop) -> None:
    first = await shop.placement.place(shop.request())
    await saga.stock_rejected(shop.db, [event(StockRejected(first.order_id, ("MUG-1",)))])

    again = await shop.placement.place(shop.request(key="another"))

    assert again.order_id != first.order_id


async def test_an_empty_cart_and_an_unknown_product_are_refused(shop) -> None:
    request = shop.request()
    shop.carts.carts[request.token] = Cart(request.cart_version, [])
    assert (await refused(shop.placement.place(request))).slug == "cart-empty"

    shop.carts.carts[request.token] = Cart(request.cart_version, [("GONE-1", 1)])
    problem = await refused(shop.placement.place(request))
    assert isinstance(problem, Invalid)
    assert (problem.slug, problem.members["skus"]) == ("unknown-sku", ["GONE-1"])


async def test_a_product_in_a_foreign_currency_fails_only_its_own_order(shop) -> None:
    shop.products.products["WON-1"] = Product("Won", 500, "KRW", 100)
    foreign, honest = shop.request("ann"), shop.request("bob")
    shop.carts.carts[foreign.token] = Cart(foreign.cart_version, [("WON-1", 1)])

    answers = await asyncio.gather(shop.placement.place(foreign), shop.placement.place(honest), return_exceptions=True)

    assert (type(answers[0]), answers[0].slug) == (Unavailable, "currency-mismatch")
    assert not answers[1].replayed


async def test_a_failed_call_to_the_catalog_fails_only_the_orders_that_need_it(shop, monkeypatch) -> None:
    monkeypatch.setattr("order.usecases.pricing.MAX_SKUS", 1)
    find = shop.products.find

    async def without_tea(skus: Collection[str]) -> Any:
        if "TEA-1" in skus:
            raise Unavailable("catalog-unavailable", "The catalog service does not answer", "Try again later.")
        return await find(skus)

    shop.products.find = without_tea
    tea, mug = shop.request("ann"), shop.request("bob", expected_amount=500)
    shop.carts.carts[mug.token] = Cart(mug.cart_version, [("MUG-1", 1)])

    answers = await asyncio.gather(shop.placement.place(tea), shop.placement.place(mug), return_exceptions=True)

    assert (type(answers[0]), answers[0].slug) == (Unavailable, "catalog-unavailable")
    assert not answers[1].replayed


async def test_a_short_deadline_fails_no_other_order(shop) -> None:
    find = shop.products.find

    async def slowly(skus: Collection[str]) -> Any:
        if deadline.get() is not None:
            raise Unavailable("catalog-unavailable", "The deadline has passed", "Try again later.")
        await asyncio.sleep(0.1)
        return await find(skus)

    shop.products.find = slowly

    async def order(name: str, seconds: float) -> Placed:
        deadline.set(time.monotonic() + seconds)
        return await shop.placement.place(shop.request(name))

    hurried, patient = await asyncio.gather(order("ann", 0.05), order("bob", 60), return_exceptions=True)

    assert (type(hurried), hurried.slug) == (Unavailable, "deadline-passed")
    assert not patient.replayed


async def test_each_order_continues_the_trace_of_its_own_request(shop) -> None:
    async def order(number: int) -> None:
        with tracing.inside(tracing.extract(f"00-{number:032x}-{number:016x}-01")):
            await shop.placement.place(shop.request(f"shopper-{number}"))

    await asyncio.gather(*(order(number) for number in range(1, 6)))

    async with shop.db.connection() as connection:
        rows = await connection.fetch(
            "SELECT principal, outbox.traceparent FROM outbox JOIN orders ON subject = orders.id::text"
        )
    assert {row["principal"]: row["traceparent"] for row in rows} == {
        f"shopper-{n}": f"00-{n:032x}-{n:016x}-01" for n in range(1, 6)
    }


async def test_a_backlog_in_the_outbox_sheds_new_orders_but_replays_old_ones(shop) -> None:
    request = shop.request()
    await shop.placement.place(request)
    shop.backlog = 31.0

    problem = await refused(shop.placement.place(shop.request("bob")))

    assert isinstance(problem, Unavailable)
    assert problem.retry_after
    assert (await shop.placement.place(request)).replayed


# --- the saga ------------------------------------------------------------------------------------


def test_each_command_of_a_transition_can_be_made() -> None:
    assert {command for step in TRANSITIONS.values() for command in step.commands} | {*UNDO} == set(saga.COMMANDS)


async def confirmed(shop) -> UUID:
    id = (await shop.placement.place(shop.request())).order_id
    await shop.confirm(id)
    return id


async def test_an_order_that_succeeds(shop) -> None:
    id = await confirmed(shop)

    assert await history(shop.db, id) == [(1, "PENDING"), (2, "RESERVED"), (3, "CONFIRMED")]
    assert await outbox(shop.db) == ["catalog.reserve-stock.v1", "payment.charge.v1", "order.confirmed.v1"]


async def test_commands_carry_what_was_ordered(shop) -> None:
    request = shop.request()
    id = (await shop.placement.place(request)).order_id
    await shop.confirm(id)

    async with shop.db.connection() as connection:
        rows = await connection.fetch("SELECT data::text FROM outbox ORDER BY id")
    reserve, charge, confirmed = (json.loads(row["data"]) for row in rows)
    lines = [{"sku": "MUG-1", "quantity": 2}, {"sku": "TEA-1", "quantity": 1}]
    assert reserve == {"order_id": str(id), "lines": lines}
    assert charge == {"order_id": str(id), "amount": 1250, "currency": "EUR", "payment_method": "tok_visa"}
    assert confirmed == {"order_id": str(id), "sub": "ann", "cart_version": request.cart_version, "lines": lines}


async def test_a_message_that_arrives_twice_takes_effect_once(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    reserved = event(StockReserved(id))

    await asyncio.gather(*(saga.stock_reserved(shop.db, [reserved, reserved]) for _ in range(5)))

    assert await history(shop.db, id) == [(1, "PENDING"), (2, "RESERVED")]
    assert (await outbox(shop.db)).count("payment.charge.v1") == 1


async def test_a_step_whose_command_cannot_be_stored_is_not_taken(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    reserved = event(StockReserved(id))

    await scalar(shop.db, "ALTER TABLE outbox ADD CONSTRAINT full_disk CHECK (false) NOT VALID")
    with pytest.raises(asyncpg.CheckViolationError):
        await saga.stock_reserved(shop.db, [reserved])
    assert await history(shop.db, id) == [(1, "PENDING")]

    await scalar(shop.db, "ALTER TABLE outbox DROP CONSTRAINT full_disk")
    await saga.stock_reserved(shop.db, [reserved])
    assert await history(shop.db, id) == [(1, "PENDING"), (2, "RESERVED")]
    assert (await outbox(shop.db))[-1] == "payment.charge.v1"


async def test_a_failed_payment_releases_the_stock(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    await saga.stock_reserved(shop.db, [event(StockReserved(id))])
    await saga.payment_failed(shop.db, [event(PaymentFailed(id, "declined"))])

    assert await status(shop.db, id) == "PAYMENT_FAILED"
    assert (await outbox(shop.db))[-1] == "catalog.release-stock.v1"
    reasons = "SELECT reason FROM order_history WHERE order_id = $1 AND status = 'PAYMENT_FAILED'"
    assert await scalar(shop.db, reasons, id) == "declined"


async def test_a_confirmed_order_is_refunded_once(shop) -> None:
    id = await confirmed(shop)
    await asyncio.gather(*(saga.refund(shop.db, id) for _ in range(5)))
    await saga.payment_cancelled(shop.db, [event(PaymentCancelled(id, True))])

    assert await status(shop.db, id) == "REFUNDED"
    assert sorted((await outbox(shop.db))[-2:]) == ["catalog.release-stock.v1", "payment.cancel.v1"]
    await saga.refund(shop.db, id)
    assert len(await history(shop.db, id)) == 5


@pytest.mark.parametrize(
    ("steps", "then"),
    [
        ([], "CANCELLING"),
        ([StockReserved], "CANCELLING"),
        ([StockReserved, PaymentCaptured], "REFUNDING"),
        ([StockRejected], "not-cancellable"),
        ([StockReserved, PaymentFailed], "not-cancellable"),
    ],
)
async def test_cancel_in_each_state(shop, steps: Sequence[Any], then: str) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    usecases = {
        StockReserved: (saga.stock_reserved, StockReserved(id)),
        StockRejected: (saga.stock_rejected, StockRejected(id)),
        PaymentCaptured: (saga.payment_captured, PaymentCaptured(id)),
        PaymentFailed: (saga.payment_failed, PaymentFailed(id, "declined")),
    }
    for step in steps:
        usecase, message = usecases[step]
        await usecase(shop.db, [event(message)])  # type: ignore[operator]

    if then == "not-cancellable":
        assert (await refused(saga.cancel(shop.db, id, "ann"))).slug == then
    else:
        await saga.cancel(shop.db, id, "ann")
        assert await status(shop.db, id) == then


async def test_the_order_of_another_principal_is_not_found(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    assert isinstance(await refused(saga.cancel(shop.db, id, "bob")), NotFound)


async def test_an_order_past_its_time_expires_and_ignores_late_replies(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    await scalar(shop.db, "UPDATE orders SET expires_at = now() RETURNING 1")

    assert await saga.expire(shop.db) == 1
    await saga.stock_reserved(shop.db, [event(StockReserved(id))])
    await saga.payment_cancelled(shop.db, [event(PaymentCancelled(id, False))])

    assert [s for _, s in await history(shop.db, id)] == ["PENDING", "EXPIRING", "EXPIRED"]
    assert "payment.charge.v1" not in await outbox(shop.db)
    assert await saga.expire(shop.db) == 0


async def test_undo_without_a_reply_is_sent_again_after_a_minute(shop) -> None:
    id = (await shop.placement.place(shop.request())).order_id
    await saga.cancel(shop.db, id, "ann")
    assert await saga.resend_undo(shop.db) == 0
    await scalar(shop.db, "UPDATE orders SET undo_sent_at = now() - interval '61 s' RETURNING 1")

    assert await saga.resend_undo(shop.db) == 1
    assert (await outbox(shop.db)).count("payment.cancel.v1") == 2
    assert await saga.resend_undo(shop.db) == 0


async def test_a_cancel_waits_for_the_reply_that_is_being_stored(shop) -> None:
    """It then sees the new status: a cancel that overlaps with the capture undoes a confirmed order."""
    id = (await shop.placement.place(shop.request())).order_id
    await saga.stock_reserved(shop.db, [event(StockReserved(id))])
    async with shop.db.transaction() as tx:
        await repository.lock(tx, [id])
        await repository.move(tx, [(id, Status.CONFIRMED, None)])
        cancelling = asyncio.create_task(saga.cancel(shop.db, id, "ann"))
        await somebody_waits(tx)
    await cancelling

    assert [s for _, s in await history(shop.db, id)] == ["PENDING", "RESERVED", "CONFIRMED", "REFUNDING"]


@pytest.mark.parametrize("job", [saga.expire, saga.resend_undo])
async def test_a_locked_order_does_not_delay_others_that_are_due(shop, job: Any) -> None:
    ids = [(await shop.placement.place(shop.request(who))).order_id for who in ("ann", "bob")]
    if job is saga.resend_undo:
        await asyncio.gather(*(saga.cancel(shop.db, id, who) for id, who in zip(ids, ("ann", "bob"), strict=True)))
    long_ago = "UPDATE orders SET expires_at = now(), undo_sent_at = undo_sent_at - interval '61 s' RETURNING 1"
    await scalar(shop.db, long_ago)
    async with shop.db.transaction() as tx:
        await repository.lock(tx, ids[:1])
        assert await asyncio.wait_for(job(shop.db), 10) == 1
    assert await job(shop.db) == 1


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_a_wrong_process_clock_does_not_change_when_an_order_expires(shop, seconds: int) -> None:
    with clock_off(seconds):
        id = (await shop.placement.place(shop.request())).order_id
        assert await saga.expire(shop.db) == 0
        life = await scalar(shop.db, "SELECT extract(epoch FROM expires_at - now())::int FROM orders")
        assert 890 <= life <= 900

        await scalar(shop.db, "UPDATE orders SET expires_at = now() RETURNING 1")
        assert await saga.expire(shop.db) == 1
        assert await saga.resend_undo(shop.db) == 0
        await scalar(shop.db, "UPDATE orders SET undo_sent_at = now() - interval '61 s' RETURNING 1")
        assert await saga.resend_undo(shop.db) == 1
    assert await status(shop.db, id) == "EXPIRING"
