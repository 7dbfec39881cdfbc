"""A database with an outbox, and a broker with a separate topology for each test."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import aio_pika
import prometheus_client
import pytest
import sqlalchemy as sa
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from chassis.db import Database
from chassis.db.tables import add_outbox_and_inbox
from chassis.messaging.connection import connect
from chassis.testing.cable import Cable
from chassis.testing.fixtures import Broker, execute

LADDER = ("retry.5s", "retry.30s", "retry.5m")


class Topology:
    """The queue `lamps`, declared like the shop's, with a queue to inspect for each retry step and the dead letters."""

    def __init__(self, channel: AbstractChannel, url: str) -> None:
        self.channel = channel
        self.url = url
        self.queue = "lamps"
        self.exchange = f"{self.queue}.in"
        self.observers = {name: f"{self.queue}.{name}" for name in (*LADDER, "dead")}

    async def declare(self) -> None:
        await self.channel.declare_exchange(self.exchange, "topic", durable=True)
        await self.declare_queue()
        failed = await self.channel.declare_exchange(f"{self.queue}.failed", "topic", durable=True)
        for name, observer in self.observers.items():
            await (await self.channel.declare_queue(observer)).bind(failed, name)

    async def declare_queue(self) -> None:
        queue = await self.channel.declare_queue(self.queue, durable=True)
        await queue.bind(self.exchange, "lamps.#")

    async def delete_queue(self) -> None:
        await self.channel.queue_delete(self.queue)

    async def delete(self) -> None:
        for queue in (self.queue, *self.observers.values()):
            await self.channel.queue_delete(queue)
        for exchange in (self.exchange, f"{self.queue}.failed"):
            await self.channel.exchange_delete(exchange)

    async def send(self, body: bytes, **headers: Any) -> None:
        message = aio_pika.Message(body, headers={name.replace("_", "-"): value for name, value in headers.items()})
        await self.channel.default_exchange.publish(message, self.queue)

    async def send_to(self, place: str, body: bytes) -> None:
        """Sends a message to a retry step, or to the dead letters."""
        await self.channel.default_exchange.publish(aio_pika.Message(body), self.observers[place])

    async def arrived(self, place: str | None = None) -> list[AbstractIncomingMessage]:
        """Takes all messages from the queue, or from a retry step or the dead letters."""
        queue = await self.channel.get_queue(self.observers[place] if place else self.queue, ensure=False)
        found = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            found.append(message)
        return found

    async def left(self) -> int:
        """Returns how many messages are ready in the queue."""
        declared = await self.channel.declare_queue(self.queue, passive=True)
        return declared.declaration_result.message_count or 0


@pytest.fixture
async def topology(rabbitmq: Broker) -> AsyncIterator[Topology]:
    async with await aio_pika.connect(rabbitmq.url()) as connection:
        topology = Topology(await connection.channel(), rabbitmq.url())
        await topology.declare()
        yield topology
        await topology.delete()


@pytest.fixture
def sample() -> Callable[..., float | None]:
    """`sample("name", label="value")` returns a metric as Prometheus reads it."""

    def read(name: str, **labels: str) -> float | None:
        found = (each for metric in prometheus_client.REGISTRY.collect() for each in metric.samples)
        return next((each.value for each in found if each.name == name and labels.items() <= each.labels.items()), None)

    return read


@pytest.fixture
async def cable(topology: Topology) -> AsyncIterator[Cable]:
    async with Cable(topology.url) as cable:
        yield cable


@pytest.fixture
def outbox_url(database: Callable[..., str]) -> str:
    """A database with an outbox, its archive and an inbox."""
    metadata = sa.MetaData()
    add_outbox_and_inbox(metadata)
    url = database(None)
    dialect = postgresql.dialect()
    execute(url, *(str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables))
    return url


@pytest.fixture
async def db(outbox_url: str) -> AsyncIterator[Database]:
    async with Database(outbox_url, name="lamps") as db:
        yield db


@pytest.fixture
def eventually() -> Callable[..., Any]:
    """`await eventually(condition)` returns the value of an async or plain condition once it is true, within 30 s."""

    async def wait(condition: Callable[[], Any], seconds: float = 30) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value or time.monotonic() > deadline:
                assert value, f"not within {seconds} s"
                return value
            await asyncio.sleep(0.02)

    return wait


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names under which consumers and publishers have tried to connect to the broker."""
    names = []

    async def noted(url: Any, name: str) -> Any:
        names.append(name)
        return await connect(url, name)

    for module in ("consumer", "publisher"):
        monkeypatch.setattr(f"chassis.messaging.{module}.connect", noted)
    return names
