"""Stock stays correct for any events, in any order, in any batches and with several processes."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID, uuid4

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog import usecases
from catalog.messages import OrderConfirmed, ReserveStock
from catalog.models import LEGAL, Level, Price, Product, Reservation, State
from catalog.repository import search, stock
from catalog.tables import metadata
from chassis import outbox, tracing
from chassis.db import Database
from chassis.errors import Conflict, NotFound
from chassis.messages import Event
from chassis.testing.clock import clock_off
from chassis.testing.locks import somebody_waits


def traced(event: Event) -> Event:
    number = event.data.order_id.int
    return msgspec.structs.replace(event, traceparent=f"00-{number:032x}-{number:016x}-01")


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


def in_batches(events, sequence, cuts: set[int]) -> list[tuple[str, list]]:
    """Makes events that are repeated and reordered. A batch has one kind, and ends at each of the cuts."""
    last: dict[tuple[str, int], UUID] = {}
    batches: list[tuple[str, list]] = []
    for index, (kind, number, redelivered) in enumerate(sequence):
        id = last.get((kind, number)) if redelivered else None
        arguments = (ORDERS[number], LINES[number]) if kind == "reserve" else (ORDERS[number],)
        event = getattr(events, kind)(*arguments, id=id)
        last[kind, number] = event.id
        if not batches or batches[-1][0] != kind or index in cuts:
            batches.append((kind, []))
        batches[-1][1].append(event)
    return batches


async def empty(db: Database) -> None:
    async with db.connection() as connection:
        await connection.execute(f"TRUNCATE {', '.join(metadata.tables)}")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=deliveries, cuts=st.sets(st.integers(1, 23)))
async def test_any_sequence_in_any_batches_conserves_stock(db, add, events, audit, sequence, cuts) -> None:
    """Every step is legal, and a batch has the effect of single events."""

    async def run(cuts: set[int]) -> tuple[object, ...]:
        await empty(db)
        await add("A", stock=4)
        await add("B", stock=2)
        before: dict[UUID, State] = {}
        for kind, batch in in_batches(events, sequence, cuts):
            await getattr(usecases, kind)(db, batch)
            after = await states(db)
            for each, state in after.items():
                was = before.get(each)
                assert state is was or state in LEGAL[was]
            assert before.keys() <= after.keys()
            before = after
            await audit()
        return before, await level(db, "A"), await level(db, "B"), await replies(db)

    assert await run(cuts) == await run(set(range(24)))


@pytest.fixture
async def other(database) -> AsyncIterator[Database]:
    async with Database(database("catalog"), name="other") as db:
        yield db


async def contents(db: Database) -> dict[str, list[str]]:
    """All rows of all tables but products, without times and the IDs that the database makes."""
    async with db.connection() as connection:
        return {
            table.name: sorted(
                str({key: value for key, value in row.items() if not key.endswith("_at") and key != "id"})
                for row in await connection.fetch(f"SELECT * FROM {table.name}")
            )
            for table in metadata.sorted_tables
            if table.name != "products"  # no use case for messages changes them, and they are full of times
        }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=deliveries, cuts=st.sets(st.integers(1, 23)))
async def test_the_usual_case_leaves_the_same_rows_and_messages_as_the_general_code(
    db, other, events, sequence, cuts
) -> None:
    async def unusual(*_: object) -> None:
        return None

    async def run(on: Database, batches: list[tuple[str, list]]) -> tuple[object, ...]:
        await empty(on)
        for sku, quantity in (("A", 4), ("B", 2)):
            await usecases.create_product(on, Product(sku, "Tea", "", "tea", Price(100, "EUR")))
            await usecases.restock(on, f"first-{sku}", sku, quantity)
        handed: list[outbox.Row] = []
        on.after_messages[:] = [handed.extend]
        for kind, batch in batches:
            await getattr(usecases, kind)(on, batch)
        return [row[1:] for row in handed], await contents(on)

    batches = in_batches(events, sequence, cuts)
    usual = await run(db, batches)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stock, "usual", unusual)
        assert await run(other, batches) == usual


async def test_orders_are_reserved_and_sold_in_one_statement_each_and_only_once(db, add, events, spans) -> None:
    for sku in ("A", "B"):
        await add(sku, stock=5)
    reserved = [events.reserve(ORDERS[0], {"A": 2, "B": 1}), events.reserve(ORDERS[1], {"A": 1})]
    confirmed = [events.confirm(order) for order in ORDERS[:2]]

    with tracing.processing("catalog", ReserveStock.type, [traced(event) for event in reserved]):
        await usecases.reserve(db, reserved)
    with tracing.processing("catalog", OrderConfirmed.type, [traced(event) for event in confirmed]):
        await usecases.confirm(db, confirmed)
    assert [span.name for span in spans if span.kind == tracing.CLIENT] == [
        "INSERT reservations",
        "UPDATE reservations",
    ]

    await usecases.reserve(db, reserved)
    await usecases.confirm(db, confirmed)
    async with db.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM inbox") == 4
    assert await replies(db) == [("catalog.stock-reserved.v1", {"order_id": str(order)}) for order in ORDERS[:2]]
    assert (await level(db, "A"), await level(db, "B")) == ((2, 0, 3), (4, 0, 1))


async def test_an_order_that_was_released_while_its_confirmation_waited_is_not_sold(db, add, events, audit) -> None:
    await add("A", stock=5)
    await usecases.reserve(db, [events.reserve(order, {"A": 2}) for order in ORDERS[:2]])

    async with db.transaction() as tx:
        await stock.lock_reservations(tx, ORDERS[:1])
        confirming = asyncio.create_task(usecases.confirm(db, [events.confirm(ORDERS[0])]))
        await somebody_waits(tx)
        await stock.set_states(tx, {ORDERS[0]: Reservation(State.RELEASED)})
        await stock.write_levels(tx, {"A": Level(available=3, held=2, sold=0)})
    await confirming

    assert await level(db, "A") == (3, 2, 0)
    await audit()


async def test_stock_that_another_order_took_meanwhile_is_not_promised_again(db, add, events, audit) -> None:
    await add("A", stock=3)

    async with db.transaction() as tx:
        await stock.lock_levels(tx, ["A"])
        reserving = asyncio.create_task(usecases.reserve(db, [events.reserve(ORDERS[0], {"A": 2})]))
        await somebody_waits(tx)
        await stock.claim(tx, [ORDERS[1]], State.HELD)
        await stock.add_lines(tx, {ORDERS[1]: {"A": 2}})
        await stock.write_levels(tx, {"A": Level(available=1, held=2, sold=0)})
    await reserving

    assert await states(db) == {ORDERS[0]: State.REJECTED, ORDERS[1]: State.HELD}
    await audit()


@pytest.mark.parametrize("usecase", ["reserve", "confirm"])
@pytest.mark.parametrize("lock", ["lock_reservations", "lock_levels"])
async def test_rivals_that_want_the_same_rows_in_another_order_do_not_deadlock(
    db, add, events, audit, usecase: str, lock: str
) -> None:
    """The use case waits for the first row, and has not locked the second."""
    for sku in ("A", "B"):
        await add(sku, stock=5)
    orders = ORDERS[1::-1]
    await usecases.reserve(db, [events.reserve(order, {"A": 1, "B": 1}) for order in orders])
    keys = {"lock_reservations": sorted(orders), "lock_levels": ["A", "B"]}[lock]

    if usecase == "confirm":
        batch = [events.confirm(order) for order in orders]
    else:
        new = orders if lock == "lock_reservations" else ORDERS[2:4]
        batch = [events.reserve(order, {sku: 1}) for order, sku in zip(new, ("B", "A"), strict=True)]
    async with db.transaction() as tx:
        await getattr(stock, lock)(tx, keys[:1])
        rival = asyncio.create_task(getattr(usecases, usecase)(db, batch))
        await somebody_waits(tx)
        await getattr(stock, lock)(tx, keys[1:])
    await rival
    await audit()


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
    batch = [traced(events.reserve(order, {"A": 1})) for order in ORDERS[:2]]

    with tracing.processing("catalog", ReserveStock.type, batch):
        await usecases.reserve(db, batch)

    processed = {
        span.attributes["quayside.subject"]: span.traceparent for span in spans if span.name == "process catalog"
    }
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT subject, traceparent FROM outbox")
    assert {row["subject"]: row["traceparent"] for row in rows} == processed
    assert len({traceparent[3:35] for traceparent in processed.values()}) == 2
