"""Tests of the fixtures: new databases, an empty Valkey, a broker with permissions and retry ladder."""

import time
from collections.abc import Callable

import aio_pika
import asyncpg
import pytest
import redis.asyncio as redis

from chassis.testing.fixtures import Broker


async def test_two_databases_of_one_test_share_nothing(database: Callable[[str | None], str]) -> None:
    first, second = await asyncpg.connect(database(None)), await asyncpg.connect(database(None))
    await first.execute("CREATE TABLE kept (id int)")
    assert await first.fetchval("SELECT to_regclass('kept')") == "kept"
    assert await second.fetchval("SELECT to_regclass('kept')") is None
    await first.close()
    await second.close()


@pytest.mark.parametrize("round", [1, 2])
async def test_valkey_is_empty_at_the_start_of_each_test(valkey: str, round: int) -> None:
    async with redis.from_url(valkey) as client:
        assert await client.dbsize() == 0
        await client.set("left", round)


@pytest.mark.parametrize("round", [1, 2])
async def test_queues_are_empty_at_the_start_of_each_test(rabbitmq: Broker, round: int) -> None:
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        channel = await connection.channel(on_return_raises=True)
        assert (await channel.declare_queue("payment", passive=True)).declaration_result.message_count == 0
        exchange = await channel.get_exchange("payment.in")
        await exchange.publish(aio_pika.Message(str(round).encode()), routing_key="payment.charge.v1")


async def test_the_retry_ladder_returns_a_message_to_the_queue_of_its_service(rabbitmq: Broker) -> None:
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        channel = await connection.channel(on_return_raises=True)
        failed = await channel.get_exchange("order.failed")
        began = time.monotonic()
        await failed.publish(aio_pika.Message(b"again", headers={"attempts": 1}), routing_key="retry.5s")
        queue = await channel.get_queue("order")
        async with queue.iterator(timeout=60) as messages:
            message = await anext(messages)
            await message.ack()
    assert (message.body, message.headers["attempts"]) == (b"again", 1)
    assert time.monotonic() - began >= 4.9


async def test_a_dead_letter_goes_to_the_queue_of_its_service(rabbitmq: Broker) -> None:
    async with await aio_pika.connect(rabbitmq.url("cart")) as connection:
        channel = await connection.channel(on_return_raises=True)
        await (await channel.get_exchange("cart.failed")).publish(aio_pika.Message(b"?"), routing_key="dead")
        assert (await channel.declare_queue("cart.dead", passive=True)).declaration_result.message_count == 1
