"""Consumes in micro-batches: all messages that have arrived, in one transaction, acknowledged after its commit.

A broker that deletes a queue tells its consumers once. A consumer that ignored this would look healthy but never
receive a message again. `test_consumer.py` deletes the queue.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Self

from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity
from pydantic import SecretStr

from chassis import metrics
from chassis.db import is_environment_failure
from chassis.messaging.connection import close, connect
from chassis.messaging.handling import Arrival, Handles, Handling, read
from chassis.messaging.ladder import Gone, Ladder
from chassis.outage import Outage
from chassis.waiting import pause

__all__ = ["Consumer"]

log = logging.getLogger(__name__)

MAX_EVENTS = 256
SET_UP_SECONDS = 10.0
PATIENCE = 60.0
"""Seconds without a subscription after which the consumer counts as broken. A broker restarts in less time."""
DELAYS = (0.2, 5.0)
STABLE = 5.0
"""Seconds that a subscription must last before its successor is tried at once: some messages end every subscription."""


class Consumer:
    """Reads one queue, which must exist, and passes the events of each type to its handler as a list.

    A list never holds two events with the same subject. A handler that fails because of its environment (connection,
    timeout, deadlock) is called again with the same events until it succeeds. Any other failure is bisected down to the
    event that causes it, which then climbs the retry ladder and ends in `<queue>.dead`.

    The consumer subscribes again after each lost subscription, until its `async with` block ends.
    """

    def __init__(self, url: SecretStr | str, queue: str, handlers: Sequence[Handles], *, prefetch: int = 50) -> None:
        self._url = url
        self._queue = queue
        self._prefetch = prefetch
        self._arrived: deque[AbstractIncomingMessage] = deque()
        self._head: Arrival | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._cancelled = False
        self._changed = asyncio.Event()
        self._outage = Outage(log, f"consuming {queue}")
        self._ladder = Ladder(url, queue, self._stopping)
        self._handling = Handling(queue, handlers, self._ladder, self._stopping)
        self._down_since: float | None = None
        self._up_since: float | None = None

    async def __aenter__(self) -> Self:
        self._consuming(False)
        self._task = asyncio.create_task(self._run(), name=f"consume {self._queue}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Finishes the current batch; the prefetched messages return to the queue."""
        self._stopping.set()
        self._changed.set()
        if self._task is not None:
            done, _pending = await asyncio.wait({self._task}, timeout=10)
            if not done:
                self._task.cancel()
                await asyncio.wait({self._task}, timeout=1)
        await self._ladder.close()

    def trouble(self) -> str | None:
        """Returns what is wrong once there has been no lasting subscription for a minute; otherwise None."""
        now = time.monotonic()
        if self._down_since is None or (self._up_since is not None and now - self._up_since > STABLE):
            return None
        down = now - self._down_since
        return None if down < PATIENCE else f"the queue {self._queue} has not been consumed for {down:.0f} s"

    def _consuming(self, yes: bool) -> None:
        metrics.consumer_up.labels(self._queue).set(int(yes))
        now = time.monotonic()
        lasted = self._up_since is not None and now - self._up_since > STABLE
        if not yes and (lasted or self._down_since is None):
            self._down_since = now
        self._up_since = now if yes else None

    async def _run(self) -> None:
        delay = DELAYS[0]
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                await self._subscribe()
            except ChannelNotFoundEntity:
                self._outage.failed("the queue does not exist: load deploy/rabbitmq's definitions into the broker")
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                self._outage.failed("the connection was lost")  # aiormq cancels its waiters
            except (OSError, AMQPError) as error:
                self._outage.failed(error)
            except Exception as error:
                self._outage.failed(f"{type(error).__name__}: {error}", error)
            self._consuming(False)
            if time.monotonic() - began > STABLE:
                delay = DELAYS[0]
            await pause(self._stopping, delay)
            delay = min(delay * 2, DELAYS[1])

    async def _subscribe(self) -> None:
        """Consumes until the channel closes, the broker cancels the subscription, or this consumer stops."""
        connection = await connect(self._url, f"{self._queue}:consume")
        try:
            async with asyncio.timeout(SET_UP_SECONDS):
                channel = await connection.channel(publisher_confirms=False)
                await channel.set_qos(prefetch_count=self._prefetch)
                self._arrived, self._head, self._cancelled = deque(), None, False
                under = await channel.get_underlay_channel()
                under.on_consumer_cancel_callbacks.add(self._on_cancel)
                queue = await channel.declare_queue(self._queue, passive=True)
                await queue.consume(self._on_message)
            self._outage.over()
            log.info("consuming %s", self._queue)
            metrics.subscribed.labels(self._queue).inc()
            self._consuming(True)
            closed = asyncio.ensure_future(channel.closed())
            closed.add_done_callback(lambda _: self._changed.set())
            try:
                await self._consume(channel)
            finally:
                closed.cancel()
            if self._cancelled:
                self._outage.failed("the broker has cancelled the subscription: was the queue deleted?")
            elif not self._stopping.is_set():
                self._outage.failed("the channel was closed")
        finally:
            await close(connection)

    def _on_cancel(self, _: object) -> None:
        self._cancelled = True
        self._changed.set()
        self._consuming(False)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        self._arrived.append(message)
        self._changed.set()

    async def _consume(self, channel: AbstractChannel) -> None:
        under = await channel.get_underlay_channel()

        def gone() -> bool:
            return channel.is_closed or self._cancelled

        while not self._stopping.is_set() and (batch := await self._next(channel)):
            if not await self._handle(batch, gone):
                return  # the messages are delivered again
            tag = batch[-1].message.delivery_tag
            assert tag is not None
            await under.basic_ack(tag, multiple=True)  # batches finish in order, so all earlier messages are done

    async def _handle(self, batch: list[Arrival], gone: Gone) -> bool:
        """Handles a batch; a message that makes `Handling.handle` itself fail becomes a dead letter.

        If the batch has several messages, they are delivered again one by one, and the bad one then fails alone.
        """
        try:
            return await self._handling.handle(batch, gone)
        except Exception as error:
            if len(batch) > 1 or is_environment_failure(error):
                raise
            log.exception("%s: handling a message failed", self._queue)
            return await self._ladder.bury(batch[0].message, f"{type(error).__name__}: {error}", gone)

    async def _next(self, channel: AbstractChannel) -> list[Arrival]:
        """Returns whole messages of up to 256 events, a redelivered one alone; none when stopping or disconnected."""
        batch: list[Arrival] = []
        size = 0
        while True:
            arrival = self._head or self._take()
            self._head = None
            if arrival is None:
                if batch:
                    return batch
                message = await self._wait(channel)
                if message is None:
                    return []
                arrival = read(message)
            alone = arrival.message.redelivered
            if batch and (alone or size + len(arrival.events) > MAX_EVENTS):
                self._head = arrival
                return batch
            batch.append(arrival)
            size += len(arrival.events)
            if alone or size >= MAX_EVENTS:
                return batch

    def _take(self) -> Arrival | None:
        return read(self._arrived.popleft()) if self._arrived else None

    async def _wait(self, channel: AbstractChannel) -> AbstractIncomingMessage | None:
        """Returns the next message; None once the consumer stops, the channel closes, or the subscription ends."""
        while not (self._stopping.is_set() or self._cancelled or channel.is_closed):
            if self._arrived:
                return self._arrived.popleft()
            self._changed.clear()
            await self._changed.wait()
        return None
