"""Dead letters, replay and pruning, on a real broker and real databases."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import aio_pika
import asyncpg
import pytest
from msgspec import Raw

from chassis.ids import uuid7
from chassis.messaging.envelope import Envelope, pack, unpack
from chassis.testing.fixtures import Broker
from shopctl import archive, broker
from shopctl.topology import consumers

ROOT = Path(__file__).parents[3]
NOW = datetime.now(UTC)


async def die(rabbitmq: Broker, *bodies: bytes) -> None:
    """The order service gives up on these."""
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        dead = await (await connection.channel(on_return_raises=True)).get_exchange("order.failed")
        for body in bodies:
            await dead.publish(aio_pika.Message(body, headers={"x-attempts": 4}), routing_key="dead")


def batch(event_id: UUID) -> bytes:
    event = Envelope(event_id, "/quayside/payment", "payment.captured.v1", NOW, str(uuid7()), Raw(b"{}"))
    return pack([event])[0][1]


async def published(rabbitmq: Broker, queue: str) -> list[Envelope]:
    async with await aio_pika.connect(rabbitmq.url()) as connection:
        found = []
        waiting = await (await connection.channel()).get_queue(queue)
        while message := await waiting.get(no_ack=True, fail=False):
            found += unpack(message.body)
        return found


async def test_dead_letters_are_listed_and_stay(rabbitmq: Broker) -> None:
    event = uuid7()
    await die(rabbitmq, batch(event), b"not a batch")
    for _ in range(2):
        first, second = await broker.dead_letters(rabbitmq.url("operator"))
        assert (first.service, first.id, first.types) == ("order", str(event), ["payment.captured.v1"])
        assert (second.types, second.body) == ([], "not a batch")


POISON = [
    pytest.param(b'{"a":' * 5000 + b"1" + b"}" * 5000, id="5,000 deep"),
    pytest.param(b"[" * 100_000, id="100,000 brackets"),
    pytest.param(b"\xff\xfe\x00", id="not UTF-8"),
    pytest.param(b"[]", id="no event"),
    pytest.param(b"", id="nothing"),
]


@pytest.mark.parametrize("body", POISON)
async def test_poison_can_be_listed_and_sent_again(rabbitmq: Broker, body: bytes) -> None:
    await die(rabbitmq, body)
    (letter,) = await broker.dead_letters(rabbitmq.url("operator"))
    assert letter.types == []
    assert await broker.replay(rabbitmq.url("operator"), "order", {letter.id}) == 1


async def test_a_replayed_dead_letter_is_new_to_its_service_and_no_longer_dead(rabbitmq: Broker) -> None:
    chosen, other = uuid7(), uuid7()
    await die(rabbitmq, batch(chosen), batch(other))
    assert await broker.replay(rabbitmq.url("operator"), "order", {str(chosen)}) == 1
    queues = await broker.queues(rabbitmq.url("operator"))
    assert (queues["order"].messages, queues["order.dead"].messages) == (1, 1)
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        message = await (await (await connection.channel()).get_queue("order")).get(no_ack=True)
    assert unpack(message.body)[0].id == chosen
    assert "x-attempts" not in message.headers


async def archived(url: str, *rows: tuple[UUID, datetime]) -> None:
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO outbox_archive (id, routing_key, subject, data, published_at)"
        " VALUES ($1, 'payment.charge.v1', 'an order', '{\"amount\": 1}', $2)",
        rows,
    )
    await connection.close()


async def test_what_was_published_since_then_is_published_again_under_its_ids(
    rabbitmq: Broker, database: Callable[[str], str]
) -> None:
    url = database("order")
    old, *new = [uuid7() for _ in range(1 + 2 * archive.PAGE)]
    # Many of one instant: a page may end anywhere among them.
    await archived(url, (old, NOW - timedelta(hours=2)), *((id, NOW) for id in new))
    count = await archive.replay("order", url, rabbitmq.url("order"), NOW - timedelta(hours=1), consumers(ROOT))
    events = await published(rabbitmq, "payment")
    assert count == len(events) == len(new)
    assert {event.id for event in events} == set(new)
    assert json.loads(bytes(events[0].data)) == {"amount": 1}


async def test_pruning_takes_what_is_old_from_archive_and_inbox(database: Callable[[str], str]) -> None:
    url = database("order")
    old, new = uuid7(), uuid7()
    week = timedelta(days=7)
    await archived(url, (old, NOW - 2 * week), (new, NOW))
    connection = await asyncpg.connect(url)
    await connection.executemany(
        "INSERT INTO inbox (consumer, event_id, received_at) VALUES ('order', $1, $2)",
        [(old, NOW - 2 * week), (new, NOW)],
    )
    assert await archive.prune([url], NOW - week) == (1, 1)
    for table, column in (("outbox_archive", "id"), ("inbox", "event_id")):
        assert [row[0] for row in await connection.fetch(f"SELECT {column} FROM {table}")] == [new]
    await connection.close()
