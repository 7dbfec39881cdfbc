"""Tests of the broker's permissions: a service can affect the queue of another only through its own messages.

Each attack is tried as each service's user, on a real broker with the shop's definitions.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, DeliveryError
from shopper import until

from chassis.messaging.ladder import STEPS
from chassis.testing.fixtures import Broker
from shopctl import services
from shopctl.broker import queues
from shopctl.definitions import template
from shopctl.topology import retries

ROOT = Path(__file__).parents[2]
SERVICES = services.load(ROOT)
DEFINITIONS = json.loads(template(SERVICES))
CONSUMERS = SERVICES.consumers

TYPES = tuple(type for each in SERVICES for type in each.publishes)
QUEUES = tuple(queue["name"] for queue in DEFINITIONS["queues"])
EXCHANGES = tuple(exchange["name"] for exchange in DEFINITIONS["exchanges"])
DEFAULTS = ("", "amq.direct", "amq.topic", "amq.fanout", "amq.headers")


def own(service: str) -> set[str]:
    """Returns the queues of a service's failed messages."""
    return {queue for queue in QUEUES if queue.startswith(f"{service}.")}


def rights(service: str) -> set[tuple[str, str]]:
    """Returns (queue, routing key) of each message that a service may send according to the contracts."""
    return {(taker, type) for type in SERVICES[service].publishes for taker in SERVICES.consumers_of(type)}


@asynccontextmanager
async def channel_of(connection: AbstractConnection) -> AsyncIterator[AbstractChannel]:
    """Opens a channel, which the broker may close."""
    channel = await connection.channel(on_return_raises=True)
    try:
        yield channel
    finally:
        if not channel.is_closed:
            await channel.close()


async def publish(connection: AbstractConnection, exchange: str, key: str, **headers: Any) -> bool:
    """Publishes a message. Returns whether the broker accepted it and a queue stored it."""
    try:
        async with channel_of(connection) as channel:
            target = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
            message = aio_pika.Message(f"{exchange} {key}".encode(), headers=headers)
            await target.publish(message, key)
    except (AMQPError, DeliveryError):
        return False
    return True


@asynccontextmanager
async def watching(broker: Broker) -> AsyncIterator[Callable[[], Any]]:
    """Yields `taken`: `await taken()` empties every queue and returns (queue, body) of each message.

    It looks again until it finds nothing: a message may leave a retry queue for one that was looked at before.
    """
    async with await aio_pika.connect(broker.url()) as connection:
        channel = await connection.channel()

        async def taken() -> set[tuple[str, str]]:
            found = set()
            for name in QUEUES:
                queue = await channel.get_queue(name, ensure=False)
                while message := await queue.get(no_ack=True, fail=False):
                    found.add((name, message.body.decode()))
            return found | await taken() if found else found

        yield taken


@pytest.mark.parametrize("service", CONSUMERS)
async def test_a_service_publishes_only_its_own_messages_and_to_its_own_ladder(rabbitmq: Broker, service: str) -> None:
    """Tries every exchange with every routing key that has a meaning."""
    keys = (*TYPES, *QUEUES, *STEPS, "dead", "#")
    async with await aio_pika.connect(rabbitmq.url(service)) as connection, watching(rabbitmq) as taken:
        for exchange in (*EXCHANGES, *DEFAULTS):
            for key in keys:
                await publish(connection, exchange, key)
        arrived = {(queue.partition(".")[0], body) for queue, body in await taken()}

    messages = {(taker, f"{taker}.in {type}") for taker, type in rights(service)}
    failures = {(service, f"{service}.failed {step}") for step in (*STEPS, "dead")}
    assert arrived == messages | failures


@pytest.mark.parametrize("header", ["CC", "BCC"])
@pytest.mark.parametrize("service", CONSUMERS)
async def test_routing_keys_in_headers_reach_no_other_queue(rabbitmq: Broker, service: str, header: str) -> None:
    """RabbitMQ also routes by the keys in these headers, and checks no topic permission for them."""
    further = [*TYPES, *QUEUES, *STEPS, "dead"]
    allowed = {queue for queue, _ in rights(service)} | own(service)
    async with await aio_pika.connect(rabbitmq.url(service)) as connection, watching(rabbitmq) as taken:
        for exchange in EXCHANGES:
            for key in (*(key for _, key in rights(service)), *STEPS, "dead"):
                await publish(connection, exchange, key, **{header: further})
        assert {queue for queue, _ in await taken()} <= allowed


async def test_the_retry_ladder_returns_messages_only_to_their_own_queue(rabbitmq: Broker) -> None:
    everybody = list(CONSUMERS)
    async with watching(rabbitmq) as taken:
        for service in CONSUMERS:
            async with await aio_pika.connect(rabbitmq.url(service)) as connection:
                assert await publish(connection, f"{service}.failed", "retry.5s", CC=everybody, BCC=everybody)
        await asyncio.sleep(6)
        for _ in until(60):  # on a busy machine they come later
            if all(queue and queue.messages for queue in (await queues(rabbitmq.url(), CONSUMERS)).values()):
                break
        assert await taken() == {(service, f"{service}.failed retry.5s") for service in CONSUMERS}


def attacks(victim: str) -> Iterator[tuple[str, Callable[[AbstractChannel], Any]]]:
    """Yields the operations other than publishing that a client can try on another service's queues and exchanges."""

    async def queue(channel: AbstractChannel, name: str) -> Any:
        return await channel.get_queue(name, ensure=False)

    async def ignore(message: AbstractIncomingMessage) -> None: ...

    async def consume(channel: AbstractChannel) -> None:
        await (await queue(channel, victim)).consume(ignore)

    async def get(channel: AbstractChannel) -> None:
        await (await queue(channel, victim)).get(fail=False)

    async def get_dead(channel: AbstractChannel) -> None:
        await (await queue(channel, f"{victim}.dead")).get(fail=False)

    async def purge(channel: AbstractChannel) -> None:
        await (await queue(channel, victim)).purge()

    async def delete(channel: AbstractChannel) -> None:
        await channel.queue_delete(victim)

    async def delete_exchange(channel: AbstractChannel) -> None:
        await channel.exchange_delete(f"{victim}.in")

    async def declare(channel: AbstractChannel) -> None:
        await channel.declare_queue(f"{victim}.more", durable=True)

    async def declare_exclusive(channel: AbstractChannel) -> None:
        await channel.declare_queue("", exclusive=True)

    async def declare_exchange(channel: AbstractChannel) -> None:
        await channel.declare_exchange("more", durable=True)

    for attack in (
        consume,
        get,
        get_dead,
        purge,
        delete,
        delete_exchange,
        declare,
        declare_exclusive,
        declare_exchange,
    ):
        yield attack.__name__, attack
    for source in (*EXCHANGES, "amq.topic"):
        for way in ("bind", "unbind"):

            async def rebind(channel: AbstractChannel, way: str = way, source: str = source) -> None:
                await getattr(await queue(channel, victim), way)(source, "payment.captured.v1")

            async def chain(channel: AbstractChannel, way: str = way, source: str = source) -> None:
                exchange = await channel.get_exchange(f"{victim}.in", ensure=False)
                await getattr(exchange, way)(source, "payment.captured.v1")

            yield f"{way} the queue to {source}", rebind
            yield f"{way} the exchange to {source}", chain


@pytest.mark.parametrize("service", CONSUMERS)
async def test_a_service_may_neither_read_nor_change_queues_of_another(rabbitmq: Broker, service: str) -> None:
    succeeded = []
    async with await aio_pika.connect(rabbitmq.url(service)) as connection:
        for victim in set(CONSUMERS) - {service}:
            for name, attack in attacks(victim):
                async with channel_of(connection) as channel:
                    try:
                        await attack(channel)
                    except AMQPError:
                        continue
                    succeeded.append(f"{name} of {victim}")
    assert succeeded == []


async def test_the_queues_of_every_retry_ladder_exist(rabbitmq: Broker) -> None:
    assert set(retries(SERVICES)) <= set(QUEUES)
