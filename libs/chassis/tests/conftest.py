"""A database with an outbox, and a broker with a topology of each test's own."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import pytest
import sqlalchemy as sa
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from chassis import outbox
from chassis.db import Database
from chassis.testing.fixtures import Broker, execute

LADDER = ("retry.5s", "retry.30s", "retry.5m")


class Topology:
    """A queue bound to an exchange, and a queue that sees what is retried or dead-lettered for it."""

    def __init__(self, channel: AbstractChannel, url: str) -> None:
        self.channel = channel
        self.url = url
        self.queue = self.exchange = f"lamps.{uuid.uuid4().hex[:8]}"
        self.observers = {name: f"{self.queue}.{name}" for name in (*LADDER, "dead")}

    async def declare(self) -> None:
        exchange = await self.channel.declare_exchange(self.exchange, "topic", durable=True)
        queue = await self.channel.declare_queue(self.queue, durable=True)
        await queue.bind(exchange, "lamps.#")
        for name, observer in self.observers.items():
            kind = aio_pika.ExchangeType.DIRECT if name == "dead" else aio_pika.ExchangeType.FANOUT
            source = await self.channel.declare_exchange(name, kind, durable=True)
            await (await self.channel.declare_queue(observer)).bind(source, self.queue)

    async def delete(self) -> None:
        for queue in (self.queue, *self.observers.values()):
            await self.channel.queue_delete(queue)
        await self.channel.exchange_delete(self.exchange)

    async def send(self, body: bytes, **headers: Any) -> None:
        message = aio_pika.Message(body, headers={name.replace("_", "-"): value for name, value in headers.items()})
        await self.channel.default_exchange.publish(message, self.queue)

    async def arrived(self, place: str | None = None) -> list[AbstractIncomingMessage]:
        """Takes what is in the queue, or in the retry step's, or among the dead."""
        queue = await self.channel.get_queue(self.observers[place] if place else self.queue, ensure=False)
        found = []
        while (message := await queue.get(no_ack=True, fail=False)) is not None:
            found.append(message)
        return found

    async def left(self) -> int:
        """How many messages are ready in the queue."""
        declared = await self.channel.declare_queue(self.queue, passive=True)
        return declared.declaration_result.message_count or 0


class Cable:
    """A TCP forwarder to the broker, which can be cut and mended."""

    def __init__(self, url: str) -> None:
        self._to = urlsplit(url)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._port = 0
        self.url = ""

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._forward, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        user = self._to.netloc.rpartition("@")[0]
        self.url = self._to._replace(netloc=f"{user}@127.0.0.1:{self._port}").geturl()

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(self._to.hostname, self._to.port)
        self._writers |= {writer, far_writer}
        with contextlib.suppress(OSError):
            await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


@pytest.fixture
async def topology(rabbitmq: Broker) -> AsyncIterator[Topology]:
    async with await aio_pika.connect(rabbitmq.url()) as connection:
        topology = Topology(await connection.channel(), rabbitmq.url())
        await topology.declare()
        yield topology
        await topology.delete()


@pytest.fixture
async def cable(topology: Topology) -> AsyncIterator[Cable]:
    cable = Cable(topology.url)
    await cable.mend()
    yield cable
    await cable.cut()


@pytest.fixture
def outbox_url(database: Callable[..., str]) -> str:
    """A database with an outbox, its archive and an inbox."""
    metadata = sa.MetaData()
    outbox.tables(metadata)
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
    """`await eventually(condition)`: what an async or plain condition gives once that is true, within 10 s."""

    async def wait(condition: Callable[[], Any], seconds: float = 10) -> Any:
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
