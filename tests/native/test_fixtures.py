"""The fixtures give real stores: fresh databases, an empty Valkey, a broker with its rights and ladder."""

import time
from collections.abc import Callable

import aio_pika
import asyncpg
import pytest
import redis.asyncio as redis
from aiormq.exceptions import ChannelAccessRefused

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
        exchange = await channel.get_exchange("quayside")
        await exchange.publish(aio_pika.Message(str(round).encode()), routing_key="payment.charge.v1")


async def test_the_ladder_brings_a_message_back_to_the_queue_of_its_service(rabbitmq: Broker) -> None:
    async with await aio_pika.connect(rabbitmq.url("order")) as connection:
        channel = await connection.channel(on_return_raises=True)
        step = await channel.get_exchange("retry.5s")
        began = time.monotonic()
        await step.publish(aio_pika.Message(b"again", headers={"attempts": 1}), routing_key="order")
        queue = await channel.get_queue("order")
        async with queue.iterator(timeout=10) as messages:
            message = await anext(messages)
            await message.ack()
    assert (message.body, message.headers["attempts"]) == (b"again", 1)
    assert time.monotonic() - began >= 4.9


async def test_a_dead_letter_lands_with_the_service_it_belongs_to(rabbitmq: Broker) -> None:
    async with await aio_pika.connect(rabbitmq.url("cart")) as connection:
        channel = await connection.channel(on_return_raises=True)
        await (await channel.get_exchange("dead")).publish(aio_pika.Message(b"?"), routing_key="cart")
        assert (await channel.declare_queue("cart.dead", passive=True)).declaration_result.message_count == 1


@pytest.mark.parametrize(
    ("user", "routing_key"),
    [
        ("catalog", "payment.charge.v1"),
        ("cart", "order.confirmed.v1"),
        ("order", "payment.captured.v1"),
        ("payment", "order.confirmed.v1"),
    ],
)
async def test_no_service_may_speak_for_another(rabbitmq: Broker, user: str, routing_key: str) -> None:
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange("quayside")
        with pytest.raises(ChannelAccessRefused):
            await exchange.publish(aio_pika.Message(b"forged"), routing_key=routing_key)


@pytest.mark.parametrize("user", ["catalog", "cart", "order", "payment"])
async def test_no_service_may_read_another_s_queue_or_declare_one(rabbitmq: Broker, user: str) -> None:
    other = "order" if user != "order" else "payment"
    async with await aio_pika.connect(rabbitmq.url(user)) as connection:
        for refused in (
            lambda channel: channel.declare_queue(f"{user}.more", durable=True),
            lambda channel: channel.declare_exchange("more", durable=True),
            lambda channel: _consume(channel, other),
        ):
            channel = await connection.channel()
            with pytest.raises(ChannelAccessRefused):
                await refused(channel)


async def _consume(channel: aio_pika.abc.AbstractChannel, name: str) -> None:
    queue = await channel.get_queue(name, ensure=False)

    async def handle(message: aio_pika.abc.AbstractIncomingMessage) -> None: ...

    await queue.consume(handle)
