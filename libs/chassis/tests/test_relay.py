"""Committed messages are published, whatever fails in between, and two relays never publish the same row at once."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from uuid import RFC_4122, UUID

import asyncpg
import pytest

from chassis import outbox
from chassis.db import Database
from chassis.ids import created_at, uuid7
from chassis.messages import Message
from chassis.messaging import BrokerDown, unpack
from chassis.relay import COLUMNS, Relay
from chassis.testing.clock import clock_off


class Lit(Message):
    type = "lamps.lit.v1"
    consumers = ("lamps",)
    watts: int


class Unheard(Message):
    """A message without a queue."""

    type = "chairs.moved.v1"
    consumers = ("lamps",)


class Dimmed(Message):
    type = "lamps.dimmed.v1"
    consumers = ("lamps",)


class Switched(Message):
    """A message with two consumers."""

    type = "lamps.switched.v1"
    consumers = ("lamps", "meters")


def relay(db: Database, topology, url: str | None = None) -> Relay:
    return Relay(db, url or topology.url, "lamps", [Lit, Dimmed, Unheard, Switched])


@contextlib.asynccontextmanager
async def by_hand(idle: Relay) -> AsyncIterator[Relay]:
    """A relay that publishes only when it is told to, and then also the youngest rows."""
    idle._own = 0.0
    try:
        yield idle
    finally:
        await idle.__aexit__()


async def put(db: Database, *messages: Message) -> list[UUID]:
    async with db.transaction() as tx:
        await outbox.put(tx, [(uuid7(), message) for message in messages])
        rows = await tx.fetch("SELECT id FROM outbox ORDER BY id")
        return [row["id"] for row in rows][-len(messages) :]


async def ids(db: Database, table: str) -> list[UUID]:
    async with db.connection() as connection:
        return [row["id"] for row in await connection.fetch(f"SELECT id FROM {table} ORDER BY id")]


async def published(topology) -> list[UUID]:
    return [event.id for message in await topology.arrived() for event in unpack(message.body)]


@pytest.fixture
def refused(sample) -> Callable[[type[Message]], float]:
    """`refused(Lit)` is how many events of this type the broker has refused in this test."""

    def count(message: type[Message]) -> float:
        return sample("quayside_messaging_refused_total", quayside_message_type=message.type) or 0

    before = {message: count(message) for message in (Lit, Unheard)}
    return lambda message: count(message) - before[message]


async def test_a_committed_row_is_published_and_archived(db: Database, topology, eventually):
    subject = uuid7()
    async with relay(db, topology):
        async with db.transaction() as tx:
            await outbox.put(tx, [(subject, Lit(watts=7))])
        await eventually(lambda: ids(db, "outbox_archive"))

    (message,) = await topology.arrived()
    (event,) = unpack(message.body)
    assert [event.id] == await ids(db, "outbox_archive")
    assert (event.type, event.subject, bytes(event.data)) == ("lamps.lit.v1", str(subject), b'{"watts":7}')
    assert (event.specversion, event.source) == ("1.0", "/quayside/lamps")
    assert message.routing_key == "lamps.lit.v1"
    assert message.delivery_mode == 2
    assert await ids(db, "outbox") == []


async def test_a_rolled_back_row_is_never_published(db: Database, topology):
    with contextlib.suppress(LookupError):
        async with db.transaction() as tx:
            await outbox.put(tx, [(uuid7(), Lit(watts=7))])
            raise LookupError

    async with by_hand(relay(db, topology)) as publisher:
        assert await publisher.publish_once() == 0
    assert await topology.arrived() == []


async def test_rows_are_published_in_the_order_of_their_ids(db: Database, topology, eventually):
    rows = [uuid7() for _ in range(600)]
    async with db.transaction() as tx:
        await tx.executemany(
            "INSERT INTO outbox (id, routing_key, subject, data) VALUES ($1, 'lamps.lit.v1', 's', '{\"watts\": 7}')",
            [(id,) for id in reversed(rows)],
        )

    async with relay(db, topology):
        await eventually(lambda: emptied(db))

    assert await published(topology) == rows


async def emptied(db: Database) -> bool:
    return not await ids(db, "outbox")


async def test_an_unroutable_key_backs_off_and_delays_no_other(db: Database, topology, eventually, refused):
    stuck = await put(db, *(Unheard() for _ in range(300)))  # more than one round publishes
    async with relay(db, topology):
        await eventually(lambda: refused(Unheard))
        (lit,) = await put(db, Lit(watts=7))

        await eventually(lambda: ids(db, "outbox_archive"))
        assert set(await published(topology)) == {lit}
        assert await ids(db, "outbox") == stuck


async def test_an_unroutable_key_is_published_once_a_queue_is_bound(
    db: Database, topology, eventually, caplog, refused
):
    """The refusal is logged when it begins and when it ends, but not at each attempt."""
    caplog.set_level(logging.INFO)
    (id,) = await put(db, Unheard())
    async with relay(db, topology):
        await eventually(lambda: refused(Unheard) >= 2)
        queue = await topology.channel.get_queue(topology.queue)
        await queue.bind(topology.exchange, "chairs.#")
        await eventually(lambda: emptied(db))

    assert set(await published(topology)) == {id}
    told, over, *_ = (record.message for record in caplog.records if record.name == "chassis.relay")
    assert "no queue is bound to it (trying until it succeeds)" in told
    assert over.endswith(": works again")


async def test_a_row_is_archived_once_every_consumer_has_it(db: Database, topology, eventually, caplog):
    """The broker reports a message that reaches no queue, but not one that reaches only one of two queues."""
    meters = await topology.channel.declare_exchange("meters.in", "topic")
    (id,) = await put(db, Switched())
    try:
        async with relay(db, topology):
            await eventually(lambda: "meters.in/lamps.switched.v1: no queue is bound to it" in caplog.text)
            assert await ids(db, "outbox") == [id]

            queue = await topology.channel.declare_queue("meters", exclusive=True)
            await queue.bind(meters, "lamps.switched.v1")
            await eventually(lambda: emptied(db))

            (message,) = [await queue.get(no_ack=True)]
            assert [event.id for event in unpack(message.body)] == [id]
            assert id in await published(topology)
    finally:
        await topology.channel.exchange_delete("meters.in")


async def test_a_missing_exchange_delays_no_other(db: Database, topology, eventually):
    (switched,) = await put(db, Switched())
    (lit,) = await put(db, Lit(watts=7))
    async with relay(db, topology):
        await eventually(lambda: ids(db, "outbox_archive"))

    assert await ids(db, "outbox") == [switched]
    assert lit in await published(topology)


async def test_the_contents_of_a_deleted_queue_are_published_again(db: Database, topology, eventually, refused):
    """This includes events with another routing key than the one that revealed the loss."""
    async with relay(db, topology):
        lost = await put(db, *(Lit(watts=watts) for watts in range(300)), *(Dimmed() for _ in range(20)))
        await eventually(lambda: emptied(db))

        await topology.delete_queue()
        (kept,) = await put(db, Lit(watts=7))
        await eventually(lambda: refused(Lit))
        assert await ids(db, "outbox") == [kept]

        await topology.declare_queue()
        again: set[UUID] = set()

        async def all_there() -> bool:
            again.update(await published(topology))
            return again >= {*lost, kept}

        await eventually(all_there)


async def test_what_is_committed_while_the_broker_is_down_is_published_when_it_is_up(
    db: Database, topology, cable, eventually
):
    async with relay(db, topology, cable.url):
        first = await put(db, Lit(watts=1))
        await eventually(lambda: emptied(db))
        await cable.cut()
        second = await put(db, *(Lit(watts=2) for _ in range(150)))
        await asyncio.sleep(0.5)
        assert await ids(db, "outbox") == second

        await cable.mend()
        await eventually(lambda: emptied(db))

    assert set(await published(topology)) == {*first, *second}


async def test_a_broker_that_stays_down_is_logged_once(db: Database, topology, eventually, caplog, tries: list[str]):
    async with relay(db, topology, "amqp://lamps:9d2f@127.0.0.1:1/lamps"):
        await put(db, Lit(watts=1))
        await eventually(lambda: len(tries) == 3)

    assert [record.message for record in caplog.records if record.name == "chassis.tasks"] == [
        "relay: RabbitMQ at 127.0.0.1:1 cannot be used: connection refused; is BROKER_URL right?"
        " (trying until it succeeds)"
    ]


async def test_the_backlog_is_the_age_of_the_oldest_row(db: Database, topology, cable, eventually):
    await cable.cut()
    async with relay(db, topology, cable.url) as running:
        assert running.backlog_seconds == 0
        await put(db, Lit(watts=7))
        await eventually(lambda: running.backlog_seconds > 0.5)

        await cable.mend()
        await eventually(lambda: running.backlog_seconds == 0)
    assert await emptied(db)


async def test_rows_that_wait_are_counted_and_then_published(
    db: Database, topology, cable, eventually, sample, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.relay.COUNT_EVERY", 0.1)
    await cable.cut()
    async with relay(db, topology, cable.url):
        await put(db, Lit(watts=7), Lit(watts=8), Dimmed())
        await eventually(lambda: sample("quayside_outbox_events") == 3)

        await cable.mend()
        await eventually(lambda: sample("quayside_outbox_events") == 0)
    assert await emptied(db)


async def test_a_backlog_that_is_worked_off_is_counted_again_meanwhile(
    db: Database, topology, sample, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.relay.COUNT_EVERY", 0)
    monkeypatch.setattr("chassis.relay.TAKE", 10)
    await put(db, *(Lit(watts=7) for _ in range(25)))
    counts = []

    async with by_hand(relay(db, topology)) as publisher:
        while await publisher.publish_once():
            counts.append(sample("quayside_outbox_events"))

    assert counts == [25, 15, 0]


async def test_a_backlog_shorter_than_a_second_is_what_was_just_seen(db: Database, topology, cable, sample):
    await cable.cut()
    await put(db, *(Lit(watts=7) for _ in range(3)))
    async with by_hand(relay(db, topology, cable.url)) as publisher:
        with pytest.raises(ConnectionError):
            await publisher.publish_once()
        assert sample("quayside_outbox_events") == 3

        await cable.mend()
        await publisher.publish_once()
        assert sample("quayside_outbox_events") == 0


@pytest.mark.parametrize("seconds", [-600, 600])
async def test_the_backlog_goes_by_the_databases_clock(db: Database, topology, cable, eventually, seconds: int):
    await cable.cut()
    with clock_off(seconds):
        await put(db, Lit(watts=7))
    async with relay(db, topology, cable.url) as running:
        await eventually(lambda: running.backlog_seconds > 0.5)
        assert running.backlog_seconds < 60
        with clock_off(seconds):
            assert 0.5 < running.backlog_seconds < 60


async def test_the_order_of_publishing_does_not_depend_on_the_writers_clocks(db: Database):
    for seconds in (600, 0, -600):
        with clock_off(seconds):
            await put(db, Lit(watts=seconds))
    async with db.connection() as connection:
        rows = await connection.fetch("SELECT data->>'watts' AS watts FROM outbox ORDER BY id")

    assert [row["watts"] for row in rows] == ["600", "0", "-600"]


async def test_messages_of_one_statement_are_published_in_their_order(db: Database):
    async with db.transaction() as tx:
        await outbox.put(tx, [(uuid7(), Lit(watts=n)) for n in range(500)])
        rows = await tx.fetch("SELECT id, data->>'watts' AS watts FROM outbox ORDER BY id")

    assert [int(row["watts"]) for row in rows] == list(range(500))
    assert {(row["id"].version, row["id"].variant) for row in rows} == {(7, RFC_4122)}
    assert abs((created_at(rows[0]["id"]) - datetime.now(UTC)).total_seconds()) < 60


async def test_an_unroutable_row_counts_as_backlog(
    db: Database, topology, eventually, sample, monkeypatch: pytest.MonkeyPatch
):
    def sent() -> float:
        return sample("messaging_client_sent_messages_total", quayside_message_type=Lit.type) or 0

    monkeypatch.setattr("chassis.relay.BACKOFF", (3600.0, 3600.0))
    before = sent()
    await put(db, Unheard())
    async with relay(db, topology) as running:
        await eventually(lambda: running.backlog_seconds > 1)
        await put(db, Lit(watts=7))
        await eventually(lambda: sent() == before + 1)

        assert running.backlog_seconds > 1


CRASH = """
import asyncio, os, signal, sys
from chassis.db import Database
from chassis.messages import Message
from chassis.relay import Relay

class Lit(Message):
    type = "lamps.lit.v1"
    consumers = ("lamps",)

class Crashing(Relay):
    async def _archive(self, connection, ids):
        os.kill(os.getpid(), signal.SIGKILL)

async def main(database, broker):
    async with Database(database, name="lamps") as db, Crashing(db, broker, "lamps", [Lit]):
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_after_a_crash_between_publish_and_archive_the_same_ids_are_published_again(
    db: Database, outbox_url: str, topology, eventually
):
    rows = await put(db, *(Lit(watts=7) for _ in range(10)))
    command = (sys.executable, "-c", CRASH, outbox_url, topology.url)

    process = await asyncio.create_subprocess_exec(*command, env=os.environ)
    assert await process.wait() == -signal.SIGKILL
    assert await published(topology) == rows
    assert await ids(db, "outbox") == rows

    async with relay(db, topology):
        await eventually(lambda: emptied(db))
    assert await published(topology) == rows
    assert await ids(db, "outbox_archive") == rows


async def test_relays_side_by_side_publish_each_row_once(db: Database, outbox_url: str, topology, eventually):
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(3):
            own = await stack.enter_async_context(Database(outbox_url, name="lamps"))
            await stack.enter_async_context(relay(own, topology))
        rows: list[UUID] = []
        for _ in range(30):
            rows += await put(db, *(Lit(watts=7) for _ in range(40)))
        await eventually(lambda: emptied(db))

    assert sorted(await published(topology)) == rows


async def test_a_young_row_is_left_to_the_process_that_has_written_it(db: Database, topology):
    (row,) = await put(db, Lit(watts=7))
    async with by_hand(relay(db, topology)) as publisher:
        publisher._own = 3600.0
        assert await publisher.publish_once() == 0

        publisher._own = 0.0
        assert await publisher.publish_once() == 1
    assert await published(topology) == [row]


async def test_commits_of_one_moment_share_a_message_and_need_no_look_into_the_outbox(db: Database, topology):
    async with by_hand(relay(db, topology)) as publisher:
        publisher._own = 3600.0
        rows = [*await put(db, Lit(watts=1)), *await put(db, Lit(watts=2), Lit(watts=3))]
        await publisher._work()

    (message,) = await topology.arrived()
    assert [event.id for event in unpack(message.body)] == rows
    assert await ids(db, "outbox_archive") == rows


async def test_a_row_that_the_broker_refuses_stays_in_the_outbox(db: Database, topology):
    async with by_hand(relay(db, topology)) as publisher:
        publisher._own = 3600.0
        lit, unheard = await put(db, Lit(watts=1), Unheard())
        await publisher._work()

    assert await ids(db, "outbox") == [unheard]
    assert await ids(db, "outbox_archive") == [lit]


async def test_a_row_that_was_not_sent_waits_no_longer_because_another_was_sent(
    db: Database, topology, monkeypatch: pytest.MonkeyPatch
):
    async with by_hand(relay(db, topology)) as publisher:
        lit, dimmed = await put(db, Lit(watts=7), Dimmed())
        publish = publisher._publisher.publish

        async def only_dimmed(queue: str, key: str, body: bytes) -> None:
            if key == Lit.type:
                raise BrokerDown("the connection was lost")
            await publish(queue, key, body)

        with monkeypatch.context() as broken:
            broken.setattr(publisher._publisher, "publish", only_dimmed)
            await publisher._work()
        assert (await ids(db, "outbox"), publisher.backlog_seconds > 0) == ([lit], True)

        await publisher._work()
    assert await published(topology) == [dimmed, lit]


async def test_a_row_that_was_copied_back_from_the_archive_delays_no_others(db: Database, topology):
    async with by_hand(relay(db, topology)) as publisher:
        (first,) = await put(db, Lit(watts=1))
        await publisher.publish_once()
        async with db.connection() as connection:
            await connection.execute(f"INSERT INTO outbox SELECT {COLUMNS} FROM outbox_archive")
        (second,) = await put(db, Lit(watts=2))
        await publisher.publish_once()

    assert await published(topology) == [first, first, second]
    assert await emptied(db)
    assert await ids(db, "outbox_archive") == [first, second]


async def test_rows_that_do_not_fit_into_memory_are_read_from_the_outbox(
    db: Database, topology, eventually, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("chassis.relay.MAX_HANDED", 10)
    async with relay(db, topology):
        rows = await put(db, *(Lit(watts=7) for _ in range(25)))
        await eventually(lambda: emptied(db))

    assert sorted(await published(topology)) == rows


async def test_a_relay_that_stops_publishes_and_archives_what_its_process_has_committed(
    db: Database, topology, monkeypatch: pytest.MonkeyPatch
):
    for name in ("LINGER", "POLL"):
        monkeypatch.setattr(f"chassis.relay.{name}", 3600.0)
    async with relay(db, topology):
        rows = await put(db, Lit(watts=7))

    assert await published(topology) == rows
    assert await ids(db, "outbox_archive") == rows


async def test_rows_that_could_not_be_archived_are_archived_later_and_not_published_again(db: Database, topology):
    async def execute(statement: str) -> None:
        async with db.connection() as connection:
            await connection.execute(statement)

    async with by_hand(relay(db, topology)) as publisher:
        publisher._own = 3600.0
        rows = await put(db, Lit(watts=7))
        await execute("ALTER TABLE outbox_archive RENAME TO elsewhere")
        with pytest.raises(asyncpg.UndefinedTableError):
            await publisher._work()
        await execute("ALTER TABLE elsewhere RENAME TO outbox_archive")
        await publisher._work()

    assert await published(topology) == rows
    assert await ids(db, "outbox_archive") == rows


async def test_a_row_that_another_relay_publishes_delays_no_others(db: Database, topology, eventually):
    async def is_published(id: UUID) -> bool:
        return await published(topology) == [id]

    (first,) = await put(db, Lit(watts=1))
    async with db.transaction() as other:
        await other.fetch("SELECT FROM outbox WHERE id = $1 FOR UPDATE", first)
        (second,) = await put(db, Lit(watts=2))
        async with relay(db, topology):
            await eventually(lambda: is_published(second))


async def test_a_relay_survives_a_lost_database_connection(db: Database, outbox_url: str, topology, eventually):
    async with relay(db, topology):
        connection: Any = await asyncpg.connect(outbox_url)
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.close()
        async with Database(outbox_url, name="writer") as writer:
            (id,) = await put(writer, Lit(watts=7))
        await eventually(lambda: emptied(db))

    assert await published(topology) == [id]


async def test_a_row_that_another_process_commits_is_found_without_a_wake(
    db: Database, outbox_url: str, topology, eventually
):
    async with relay(db, topology), Database(outbox_url, name="writer") as writer:
        await put(writer, Lit(watts=7))
        await eventually(lambda: emptied(db))


async def test_a_migration_under_a_running_relay_stops_nothing(db: Database, topology, eventually, caplog):
    async with relay(db, topology):
        first = await put(db, Lit(watts=7))
        await eventually(lambda: emptied(db))
        async with db.connection() as connection:
            await connection.execute("ALTER TABLE outbox ADD COLUMN later text DEFAULT ''")
            await connection.execute("ALTER TABLE outbox_archive ADD COLUMN later text DEFAULT ''")
        second = await put(db, Lit(watts=7))
        await eventually(lambda: emptied(db))

    assert await published(topology) == [*first, *second]
    assert not [record for record in caplog.records if record.name in ("chassis.relay", "chassis.tasks")]
