"""An event that is delivered twice, or whose transaction was rolled back, has its effect once."""

import asyncio

import pytest

from chassis import inbox
from chassis.db import Database
from chassis.ids import uuid7
from chassis.messages import Event

from .messaging.lamps import Lit, body, consuming, event, nothing_failed


async def test_with_an_inbox_a_message_delivered_twice_is_handled_once(topology, db: Database, eventually):
    async with db.connection() as connection:
        await connection.execute("CREATE TABLE lit (watts int)")
    delivered: list[int] = []

    async def light(events: list[Event[Lit]]) -> None:
        async with db.transaction() as tx:
            fresh = await inbox.first_time(tx, "lamps", events)
            await tx.executemany("INSERT INTO lit VALUES ($1)", [(event.data.watts,) for event in fresh])
        delivered.extend(event.data.watts for event in events)

    messages = [body(*(event(watts) for watts in range(start, start + 5))) for start in range(0, 50, 5)]
    async with consuming(topology, light), consuming(topology, light):
        for message in messages * 2:
            await topology.send(message)

        async def all_came_twice() -> bool:
            return len(delivered) >= 100

        await eventually(all_came_twice)

    async with db.connection() as connection:
        rows = await connection.fetch("SELECT watts FROM lit ORDER BY watts")
    assert [row["watts"] for row in rows] == list(range(50))
    assert await topology.left() == 0
    assert await nothing_failed(topology)


async def test_an_event_whose_transaction_was_rolled_back_is_new_again(db: Database):
    events = [Event(uuid7(), "a", Lit(watts=7)), Event(uuid7(), "b", Lit(watts=8))]
    twice = [*events, events[0]]

    async def first_time(*, fails: bool) -> list[Event[Lit]]:
        async with db.transaction() as tx:
            fresh = await inbox.first_time(tx, "lamps", twice)
            if fails:
                raise LookupError
            return fresh

    with pytest.raises(LookupError):
        await first_time(fails=True)
    assert await first_time(fails=False) == events
    assert await first_time(fails=False) == []


async def test_events_are_recorded_in_the_order_of_their_ids(db: Database, eventually):
    """Otherwise this transaction and its rival, which gets both in reverse order, would deadlock."""
    first, second = (Event(uuid7(), "a", Lit(watts=watts)) for watts in (1, 2))

    async def rival() -> list[Event[Lit]]:
        async with db.transaction() as tx:
            return await inbox.first_time(tx, "lamps", [second, first])

    async with db.transaction() as tx:
        await inbox.first_time(tx, "lamps", [first])
        waiting = asyncio.create_task(rival())
        await eventually(lambda: tx.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
        await inbox.first_time(tx, "lamps", [second])
    assert await waiting == []
