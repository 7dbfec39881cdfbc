"""Consume in micro-batches: what has arrived, no timer, one transaction a batch, acknowledged after its commit."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

import aio_pika
import msgspec
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from pydantic import SecretStr

from chassis import telemetry
from chassis.db import is_environment_failure
from chassis.messaging.envelope import Envelope, Event, Malformed, unpack
from chassis.messaging.ladder import Ladder, attempts_of, pause
from chassis.messaging.publisher import close, connect
from chassis.outage import Outage
from chassis.outbox import Message

__all__ = ["Consumer", "handles"]

log = logging.getLogger(__name__)

Handler = Callable[[list[Event[Any]]], Awaitable[None]]
Handles = tuple[type[Message], Handler]
M = TypeVar("M", bound=Message)

MAX_EVENTS = 256


def handles(message: type[M], handler: Callable[[list[Event[M]]], Awaitable[None]]) -> Handles:
    """One of a consumer's handlers: `Consumer(url, queue, [handles(ReserveStock, reserve), …])`."""
    return message, handler


class Consumer:
    """Reads one queue, which must exist, and hands each type's events to its handler as a list.

    A list never holds two events of one subject. A handler that fails because of its environment (connection,
    time-out, deadlock) is called again with the same events until it succeeds. Any other failure is bisected down to
    the event that causes it, which then climbs the retry ladder and ends in `<queue>.dead`.
    """

    def __init__(
        self,
        url: SecretStr | str,
        queue: str,
        handlers: Sequence[Handles],
        *,
        exchange_dead: str = "dead",
        prefetch: int = 50,
    ) -> None:
        self._url = url
        self._queue = queue
        self._decoders = {message.type: msgspec.json.Decoder(message) for message, _ in handlers}
        self._handlers = {message.type: handler for message, handler in handlers}
        self._prefetch = prefetch
        self._arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
        self._head: AbstractIncomingMessage | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._outage = Outage(log, f"consuming {queue}")
        self._ladder = Ladder(url, queue, exchange_dead, self._stopping)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name=f"consume {self._queue}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finishes the batch in flight; what was prefetched goes back to the queue."""
        self._stopping.set()
        if self._task is not None:
            done, _pending = await asyncio.wait({self._task}, timeout=10)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=1)
        await self._ladder.close()

    async def _run(self) -> None:
        delay = 0.2
        while not self._stopping.is_set():
            connection: AbstractConnection | None = None
            try:
                connection = await connect(self._url, f"{self._queue}:consume")
                channel = connection.channel(publisher_confirms=False)
                await channel.initialize()
                await channel.set_qos(prefetch_count=self._prefetch)
                self._arrived, self._head = asyncio.Queue(), None
                queue = await channel.declare_queue(self._queue, passive=True)
                await queue.consume(self._on_message)
                self._outage.over()
                log.info("consuming %s", self._queue)
                delay = 0.2
                await self._consume(channel)
            except aio_pika.exceptions.ChannelNotFoundEntity:
                self._outage.failed("the queue does not exist: load deploy/rabbitmq's definitions into the broker")
            except (OSError, RuntimeError, aio_pika.exceptions.AMQPError) as error:
                self._outage.failed(error)
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
            finally:
                if connection is not None:
                    await close(connection)
            await pause(self._stopping, delay)
            delay = min(delay * 2, 5)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._arrived.put_nowait(message)

    async def _consume(self, channel: AbstractChannel) -> None:
        under = await channel.get_underlay_channel()
        while not self._stopping.is_set() and (batch := await self._next(channel)):
            if not await self._handle(batch, channel):
                return  # the channel is gone, and its deliveries with it: they come again
            tag = batch[-1][0].delivery_tag
            assert tag is not None
            await under.basic_ack(tag, multiple=True)  # batches end in order, so all up to here is done

    async def _next(self, channel: AbstractChannel) -> list[tuple[AbstractIncomingMessage, list[Envelope] | None]]:
        """Whole messages, up to 256 events; a redelivered message alone. Empty when stopping or disconnected."""
        batch: list[tuple[AbstractIncomingMessage, list[Envelope] | None]] = []
        size = 0
        while True:
            message = self._head or self._take()
            self._head = None
            if message is None:
                if batch:
                    return batch
                message = await self._wait(channel)
                if message is None:
                    return []
            if batch and message.redelivered:
                self._head = message
                return batch
            try:
                events: list[Envelope] | None = unpack(message.body)
            except Malformed as error:
                log.error("%s: a message that is no CloudEvents batch: %s", self._queue, error)
                events = None
            if batch and size + len(events or ()) > MAX_EVENTS:
                self._head = message
                return batch
            batch.append((message, events))
            size += len(events or ())
            if message.redelivered or size >= MAX_EVENTS:
                return batch

    def _take(self) -> AbstractIncomingMessage | None:
        return None if self._arrived.empty() else self._arrived.get_nowait()

    async def _wait(self, channel: AbstractChannel) -> AbstractIncomingMessage | None:
        """The next message, or None as soon as we stop or the channel closes."""
        get = asyncio.ensure_future(self._arrived.get())
        stop = asyncio.ensure_future(self._stopping.wait())
        closed = asyncio.ensure_future(channel.closed())
        try:
            await asyncio.wait({get, stop, closed}, return_when=asyncio.FIRST_COMPLETED)
            return get.result() if get.done() and not stop.done() else None
        finally:
            for waiter in (get, stop, closed):
                waiter.cancel()

    async def _handle(
        self, batch: list[tuple[AbstractIncomingMessage, list[Envelope] | None]], channel: AbstractChannel
    ) -> bool:
        """Whether every event of the batch is handled, or on its way up the ladder."""
        events: list[tuple[Envelope, int]] = []
        for message, envelopes in batch:
            if envelopes is None:
                if not await self._ladder.bury(message.body, channel):
                    return False
                continue
            events += [(envelope, attempts_of(message)) for envelope in envelopes]
        for wave in waves(events):
            by_type: dict[str, list[tuple[Envelope, int]]] = {}
            for item in wave:
                by_type.setdefault(item[0].type, []).append(item)
            for type, items in by_type.items():
                if not await self._handle_type(type, items, channel):
                    return False
        return True

    async def _handle_type(self, type: str, items: list[tuple[Envelope, int]], channel: AbstractChannel) -> bool:
        decoder, handler = self._decoders.get(type), self._handlers.get(type)
        good: list[tuple[Envelope, int, Event[Any]]] = []
        for envelope, attempts in items:
            try:
                if decoder is None:
                    raise LookupError(f"no handler for {type}")
                data = decoder.decode(envelope.data)
                good.append((envelope, attempts, Event(envelope.id, envelope.subject, data, envelope.traceparent)))
            except (msgspec.DecodeError, LookupError, UnicodeDecodeError) as error:
                if not await self._ladder.climb(envelope, attempts, error, channel):
                    return False
        if good and handler is not None:
            with telemetry.consume_span(type, [envelope.traceparent for envelope, _, _ in good]):
                return await self._bisect(handler, good, channel)
        return True

    async def _bisect(
        self, handler: Handler, items: list[tuple[Envelope, int, Event[Any]]], channel: AbstractChannel
    ) -> bool:
        delay = 0.1
        told = None
        while True:
            try:
                await handler([event for _, _, event in items])
            except Exception as error:
                if is_environment_failure(error):
                    if str(error) != told:
                        log.warning("%s: %s; the same batch again until it succeeds", self._queue, error)
                    told = str(error)
                    await pause(self._stopping, delay * random.uniform(0.5, 1))  # noqa: S311
                    delay = min(delay * 2, 5)
                    if channel.is_closed or self._stopping.is_set():
                        return False
                    continue
                if len(items) == 1:
                    return await self._ladder.climb(items[0][0], items[0][1], error, channel)
                half = len(items) // 2
                return await self._bisect(handler, items[:half], channel) and await self._bisect(
                    handler, items[half:], channel
                )
            else:
                telemetry.consumed.add(len(items), {"messaging.destination.name": self._queue})
                return True


def waves(events: list[tuple[Envelope, int]]) -> list[list[tuple[Envelope, int]]]:
    """The events in lists that each hold a subject at most once; a subject's own events keep their order."""
    result: list[list[tuple[Envelope, int]]] = []
    seen: dict[str, int] = {}
    for item in events:
        index = seen.get(item[0].subject, -1) + 1
        seen[item[0].subject] = index
        if index == len(result):
            result.append([])
        result[index].append(item)
    return result
