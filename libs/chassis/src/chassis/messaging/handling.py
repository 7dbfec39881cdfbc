"""Passes a batch of messages to the handlers of its events, and each event that fails to the retry ladder.

Any exception of a decoder or handler counts as the event's fault, unless it is a known failure of the environment.
Otherwise one unexpected exception would stop the queue. `test_handling.py` fuzzes this.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
from aio_pika.abc import AbstractIncomingMessage

from chassis import metrics, tracing
from chassis.db import is_environment_failure
from chassis.messages import Event, Message
from chassis.messaging.envelope import Envelope, Malformed, unpack
from chassis.messaging.ladder import Gone, Ladder, attempts_of, sent_as
from chassis.outage import Outage
from chassis.waiting import pause

__all__ = ["Arrival", "Handler", "Handles", "Handling", "handles", "read"]

log = logging.getLogger(__name__)

MAX_BYTES = 512 * 1024
"""Twice the limit of `pack`. A much larger message could not be published to the retry ladder."""

M = TypeVar("M", bound=Message)
Handler = Callable[[list[Event[Any]]], Awaitable[None]]
Handles = tuple[type[Message], Handler]


def handles(message: type[M], handler: Callable[[list[Event[M]]], Awaitable[None]]) -> Handles:
    """Pairs a message type with its handler: `Consumer(url, queue, [handles(ReserveStock, reserve), …])`."""
    return message, handler


class Arrival(NamedTuple):
    """A message and its events. If it cannot be read, it has no events, and `wrong` says why."""

    message: AbstractIncomingMessage
    events: list[Envelope]
    wrong: str | None = None


def read(message: AbstractIncomingMessage) -> Arrival:
    """Returns a message with its events.

    A message cannot be read if an event's type differs from the routing key, on which the sender's rights depend.
    """
    if len(message.body) > MAX_BYTES:
        return Arrival(message, [], f"it has {len(message.body)} bytes, more than the limit of {MAX_BYTES}")
    try:
        events = unpack(message.body)
    except Malformed as error:
        return Arrival(message, [], f"it is not a CloudEvents batch: {error}")
    key = sent_as(message)
    if key is not None and (forged := {event.type for event in events} - {key}):
        return Arrival(message, [], f"it was sent as {key} and holds {', '.join(sorted(forged))}")
    return Arrival(message, events)


class Item(NamedTuple):
    """An event on its way to a handler; `attempts` is how often it has failed before."""

    envelope: Envelope
    attempts: int


class Handling:
    """Passes the events of each type to its handler. `queue` is for logs and metrics."""

    def __init__(self, queue: str, handlers: Sequence[Handles], ladder: Ladder, stopping: asyncio.Event) -> None:
        self._queue = queue
        self._decoders = {message.type: msgspec.json.Decoder(message) for message, _ in handlers}
        self._handlers = {message.type: handler for message, handler in handlers}
        self._ladder = ladder
        self._stopping = stopping
        self._outage = Outage(log, f"handling events of {queue}")

    async def handle(self, batch: Sequence[Arrival], gone: Gone) -> bool:
        """Returns True once every event is handled or on the retry ladder.

        Returns False if the channel or the queue was lost; the broker then delivers the messages again.
        """
        items: list[Item] = []
        for message, events, wrong in batch:
            if wrong is not None and not await self._ladder.bury(message, wrong, gone):
                return False
            items += [Item(event, attempts_of(message)) for event in events]
        for wave in waves(items):
            by_type: dict[str, list[Item]] = {}
            for item in wave:
                by_type.setdefault(item.envelope.type, []).append(item)
            for type, of_type in by_type.items():
                if not await self._handle_type(type, of_type, gone):
                    return False
        return True

    async def _handle_type(self, type: str, items: list[Item], gone: Gone) -> bool:
        good: list[Item] = []
        events: list[Event[Any]] = []
        for item in items:
            try:
                events.append(self._decoded(item.envelope))
                good.append(item)
            except Exception as error:
                if not await self._ladder.climb(*item, error, gone):
                    return False
        if not good:
            return True
        metrics.batch_size.labels(self._queue).observe(len(events))
        start = time.perf_counter()
        with tracing.processing(self._queue, type, events):
            done = await self._bisect(self._handlers[type], good, events, gone)
            metrics.observe(metrics.process_duration.labels(self._queue, type), time.perf_counter() - start)
        return done

    def _decoded(self, envelope: Envelope) -> Event[Any]:
        decoder = self._decoders.get(envelope.type)
        if decoder is None:
            raise LookupError(f"no handler for {envelope.type}")
        return Event(envelope.id, envelope.subject, decoder.decode(envelope.data), envelope.traceparent)

    async def _bisect(self, handler: Handler, items: list[Item], events: list[Event[Any]], gone: Gone) -> bool:
        delay = 0.1
        while True:
            try:
                await handler(events)
            except Exception as error:
                if is_environment_failure(error):
                    self._outage.failed(error)
                    await pause(self._stopping, delay * random.uniform(0.5, 1))  # noqa: S311
                    delay = min(delay * 2, 5)
                    if gone() or self._stopping.is_set():
                        return False
                    continue
                if len(items) == 1:
                    tracing.failed(events[0].subject, error)
                    return await self._ladder.climb(*items[0], error, gone)
                half = len(items) // 2
                return await self._bisect(handler, items[:half], events[:half], gone) and await self._bisect(
                    handler, items[half:], events[half:], gone
                )
            else:
                self._outage.over()
                metrics.consumed.labels(self._queue, items[0].envelope.type).inc(len(items))
                return True


def waves(items: list[Item]) -> list[list[Item]]:
    """Splits events into lists that hold each subject at most once; the events of one subject keep their order."""
    result: list[list[Item]] = []
    seen: dict[str, int] = {}
    for item in items:
        index = seen.get(item.envelope.subject, -1) + 1
        seen[item.envelope.subject] = index
        if index == len(result):
            result.append([])
        result[index].append(item)
    return result
