"""Stock stays correct for any events, in any order, in any batches and with several processes."""

import asyncio
import json
import random
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import usecases
from catalog.messages import ReserveStock
from catalog.models import LEGAL, State
from catalog.repository import search
from chassis import tracing
from chassis.db import Database
from chassis.errors import Conflict, NotFound
from chassis.testing.clock import clock_off

ORDERS = [UUID(int=n) for n in range(1, 7)]
LINES = [{"A": 2}, {"A": 1, "B": 1}, {"B": 2}, {"B": 1, "A": 2}, {"A": 1}, {"X": 1, "A": 1}]


async def replies(db: Database) -> list[tuple[str, dict]]:
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT routing_key, data FROM outbox ORDER BY id")
    return [(row["routing_key"], json.loads(row["data"])) for row in rows]


async def level(db: Database, sku: str) -> tuple[int, int, int]:
    async with db.connection() as connection:
        return tuple(await connection.fetchrow("SELECT available, held, sold FROM stock WHERE sku = $1", sku))


async def states(db: Database) -> dict[UUID, State]:
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT order_id, state FROM reservations")
    return {row["order_id"]: State(row["state"]) for row in rows}


async def test_a_batch_is_decided_in_order_of_arrival(db, add, events, audit) -> None:
    await add("A", stock=3)
    first, second, third = uuid4(), uuid4(), uuid4()

    await usecases.reserve(
        db,
        [
            events.reserve(first, {"A": 2}),
            events.reserve(second, {"A": 2}),
            events.reserve(third, {"A": 1}),
        ],
    )

    assert await level(db, "A") == (0, 3, 0)
    assert await replies(db) == [
        ("catalog.stock-reserved.v1", {"order_id": str(first)}),
        ("catalog.stock-rejected.v1", {"order_id": str(second), "skus": ["A"], "reason": "sold-out"}),
        ("catalog.stock-reserved.v1", {"order_id": str(third)}),
    ]
    await audit()


async def test_a_redelivered_event_is_handled_once_and_a_resent_command_answered_again(db, add, events) -> None:
    await add("A", stock=3)
    delivered = events.reserve(ORDERS[0], {"A": 2})
    refused = events.reserve(ORDERS[1], {"A": 2})

    await usecases.reserve(db, [delivered, delivered, refused])
    await usecases.reserve(db, [delivered, refused])
    once = await replies(db)
    await usecases.reserve(db, [events.reserve(ORDERS[0], {"A": 2}), events.reserve(ORDERS[1], {"A": 2})])

    assert await level(db, "A") == (1, 2, 0)
    assert len(once) == 2
    assert await replies(db) == once + once


@pytest.mark.parametrize("sold", [False, True])
async def test_release_returns_what_was_held_or_sold(db, add, events, audit, sold: bool) -> None:
    await add("A", stock=3)
    await usecases.reserve(db, [events.reserve(ORDERS[0], {"A": 2})])
    if sold:
        await usecases.confirm(db, [events.confirm(ORDERS[0])])
        assert await level(db, "A") == (1, 0, 2)

    await usecases.release(db, [events.release(ORDERS[0])])
    await usecases.release(db, [events.release(ORDERS[0])])

    assert await level(db, "A") == (3, 0, 0)
    await audit()


async def test_a_reserve_that_comes_after_its_release_is_refused(db, add, events) -> None:
    await add("A", stock=3)

    await usecases.release(db, [events.release(ORDERS[0])])
    await usecases.reserve(db, [events.reserve(ORDERS[0], {"A": 2})])

    assert await level(db, "A") == (3, 0, 0)
    expected = {"order_id": str(ORDERS[0]), "skus": [], "reason": "released"}
    assert await replies(db) == [("catalog.stock-rejected.v1", expected)]


async def test_a_confirmed_order_that_holds_nothing_is_logged_and_changes_nothing(db, events, caplog) -> None:
    await usecases.confirm(db, [events.confirm(ORDERS[0])])

    assert await states(db) == {}
    assert str(ORDERS[0]) in caplog.text


kinds = st.sampled_from(["reserve", "confirm", "release"])
deliveries = st.lists(st.tuples(kinds, st.integers(0, 5), st.booleans()), min_size=1, max_size=24)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=deliveries, cuts=st.sets(st.integers(1, 23)))
async def test_any_sequence_in_any_batches_conserves_stock(db, add, events, audit, sequence, cuts) -> None:
    """Events are repeated and reordered. Every step is legal, and a batch has the effect of single events."""

    async def run(cuts: set[int]) -> tuple[object, ...]:
        async with db.connection() as connection:
            await connection.execute(
                "TRUNCATE products, categories, stock, restocks, reservations, reservation_lines, inbox, outbox"
            )
        await add("A", stock=4)
        await add("B", stock=2)
        last: dict[tuple[str, int], UUID] = {}
        before: dict[UUID, State] = {}
        batch: list = []
        for index, (kind, number, redelivered) in enumerate(sequence):
            order = ORDERS[number]
            id = last.get((kind, number)) if redelivered else None
            arguments = (order, LINES[number]) if kind == "reserve" else (order,)
            event = getattr(events, kind)(*arguments, id=id)
            last[kind, number] = event.id
            batch.append(event)
            following = sequence[index + 1][0] if index + 1 < len(sequence) else None
            if following != kind or index + 1 in cuts:
                await getattr(usecases, kind)(db, batch)
                batch = []
                after = await states(db)
                for each, state in after.items():
                    was = before.get(each)
                    assert state is was or state in LEGAL[was]
                assert before.keys() <= after.keys()
                before = after
                await audit()
        return before, await level(db, "A"), await level(db, "B"), await replies(db)

    assert await run(cuts) == await run(set(range(24)))


async def test_rival_processes_neither_oversell_nor_deadlock(db, url, add, events, audit) -> None:
    for sku in ("HOT", "B", "C"):
        await add(sku, stock=300)
    rng = random.Random(7)
    orders = [uuid4() for _ in range(600)]
    baskets = {order: {"HOT": 1} | {sku: 1 for sku in ("C", "B") if rng.random() < 0.5} for order in orders}

    async def process(seed: int) -> None:
        rng = random.Random(seed)
        mine = rng.sample(orders, len(orders))  # each process sees every order, in its own sequence
        async with Database(url, name="rival", size=2) as rival:
            for start in range(0, len(mine), 50):
                some = mine[start : start + 50]
                await usecases.reserve(rival, [events.reserve(order, baskets[order]) for order in some])
                await usecases.confirm(rival, [events.confirm(order) for order in rng.sample(some, 20)])
                await usecases.release(rival, [events.release(order) for order in rng.sample(some, 10)])

    await asyncio.gather(*(process(seed) for seed in range(4)))

    await audit()
    available, held, sold = await level(db, "HOT")
    assert available + held + sold == 300
    assert sold > 0


async def test_a_restock_counts_once(db, add) -> None:
    await add("A")
    await add("B")

    first = await usecases.restock(db, "delivery-1", "A", 5)
    again = await usecases.restock(db, "delivery-1", "A", 5)

    assert (first, again) == (True, False)
    assert await level(db, "A") == (5, 0, 0)
    for sku, quantity in (("A", 6), ("B", 5)):
        with pytest.raises(Conflict, match="restock-differs"):
            await usecases.restock(db, "delivery-1", sku, quantity)
    with pytest.raises(NotFound):
        await usecases.restock(db, "delivery-2", "X", 1)


async def test_rival_restocks_of_one_id_count_once(db, add) -> None:
    await add("A")

    counted = await asyncio.gather(*(usecases.restock(db, "delivery", "A", 5) for _ in range(6)))

    assert sum(counted) == 1
    assert await level(db, "A") == (5, 0, 0)


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_the_database_clock_orders_products_by_age(db, add, seconds) -> None:
    await add("FIRST-1")
    with clock_off(seconds):
        await add("SECOND-1")
        await usecases.change_product(db, "SECOND-1", None, {"name": "Tea, green"})
    await add("THIRD-1")

    async with db.connection() as connection:
        page = await search.find(connection, search.Search(sort="newest"), None, 10)
        ages = await connection.fetch("SELECT now() - created_at, now() - updated_at FROM products")
    assert [item.sku for item in page.items] == ["THIRD-1", "SECOND-1", "FIRST-1"]
    assert all(timedelta(0) <= age < timedelta(minutes=1) for row in ages for age in row)


async def test_the_replies_to_a_batch_continue_the_traces_of_their_own_orders(db, add, events, spans) -> None:
    await add("A", stock=1)
    batch = [
        msgspec.structs.replace(events.reserve(order, {"A": 1}), traceparent=f"00-{order.int:032x}-{order.int:016x}-01")
        for order in ORDERS[:2]
    ]

    with tracing.processing("catalog", ReserveStock.type, batch):
        await usecases.reserve(db, batch)

    processed = {
        span.attributes["quayside.subject"]: span.traceparent for span in spans if span.name == "process catalog"
    }
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT subject, traceparent FROM outbox")
    assert {row["subject"]: row["traceparent"] for row in rows} == processed
    assert len({traceparent[3:35] for traceparent in processed.values()}) == 2
