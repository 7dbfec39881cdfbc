"""RabbitMQ for its operator: the depth of each queue, and dead letters.

Imported where it is used, because it loads slowly.
"""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity

from chassis.messaging.envelope import Envelope, Malformed, unpack
from chassis.messaging.ladder import SENT_AS
from shopctl.topology import Queue

UNREACHABLE = (OSError, TimeoutError, AMQPError)
PUT_BACK_WITHIN = 5.0


@dataclass(frozen=True)
class DeadLetter:
    """One AMQP message in the dead letters; `id` is the first of its `ids`."""

    service: str
    id: str
    types: list[str]
    subjects: list[str]
    time: str | None
    body: str


async def queues(url: str, names: Iterable[str]) -> dict[str, Queue | None]:
    """Returns each of these queues, None for one that is missing. Raises one of UNREACHABLE."""
    async with await aio_pika.connect(url, timeout=5) as connection:
        return await depths(connection, names)


async def depths(connection: AbstractConnection, names: Iterable[str]) -> dict[str, Queue | None]:
    """Does the same on a connection that is open."""
    found: dict[str, Queue | None] = {}
    channel = await connection.channel()
    for name in names:
        try:
            declared = (await channel.declare_queue(name, passive=True)).declaration_result
        except ChannelNotFoundEntity:  # it has closed the channel
            found[name] = None
            channel = await connection.channel()
        else:
            found[name] = Queue(declared.message_count or 0, declared.consumer_count or 0)
    await channel.close()
    return found


async def dead_letters(url: str, services: Iterable[str]) -> list[DeadLetter]:
    """Returns the dead letters of these services, and leaves them in place. Raises one of UNREACHABLE."""
    letters = []
    async with channel_of(url) as channel:
        for name in services:
            letters += [_describe(name, message) async for message in _messages(channel, name)]
    await put_back(url, Counter(letter.service for letter in letters))
    return letters


async def replay(url: str, service: str, wanted: set[str]) -> int:
    """Send dead letters to their service again, those in `wanted` or all; returns how many. Raises one of UNREACHABLE.

    A message leaves the dead letters once the service's queue has it. A crash in between duplicates it, and the
    service's inbox drops the duplicate.
    """
    count = left = 0
    async with channel_of(url) as channel:
        async for message in _messages(channel, service):
            if wanted and ids(message.body)[0] not in wanted:
                left += 1
                continue
            await channel.default_exchange.publish(again(message), routing_key=service, mandatory=True)
            await message.ack()
            count += 1
    await put_back(url, {service: left})
    return count


def again(message: AbstractIncomingMessage) -> aio_pika.Message:
    """Returns it as a new message, which has not failed before."""
    return aio_pika.Message(
        message.body,
        content_type=message.content_type,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        message_id=message.message_id,
        headers={name: value for name, value in message.headers.items() if name == SENT_AS},
    )


async def _messages(channel: AbstractChannel, service: str) -> AsyncIterator[AbstractIncomingMessage]:
    """Yields the current dead letters of a service, unacknowledged."""
    queue = await channel.declare_queue(f"{service}.dead", passive=True)
    for _ in range(queue.declaration_result.message_count or 0):
        message = await queue.get(no_ack=False, fail=False)
        if message is None:
            return
        yield message


async def put_back(url: str, unacknowledged: Mapping[str, int]) -> None:
    """Waits until dead letters that were read are in their queues again, for at most `PUT_BACK_WITHIN`.

    RabbitMQ puts them back some time after they were rejected or their channel was closed. The next command would not
    see them.
    """
    wanted = {f"{service}.dead": count for service, count in unacknowledged.items() if count}
    give_up = time.monotonic() + PUT_BACK_WITHIN
    while wanted and time.monotonic() < give_up:
        found = await queues(url, wanted)
        wanted = {name: count for name, count in wanted.items() if (queue := found[name]) and queue.messages < count}
        await asyncio.sleep(0.05 if wanted else 0)


def events_of(body: bytes) -> list[Envelope]:
    """Returns the events of a message, or none if it is not a CloudEvents batch."""
    try:
        return unpack(body)
    except Malformed:
        return []


def ids(body: bytes) -> list[str]:
    """Returns a message's IDs: those of its events or, without any, `sha256:` and the digest of the body."""
    return [str(event.id) for event in events_of(body)] or [f"sha256:{hashlib.sha256(body).hexdigest()}"]


def _describe(service: str, message: AbstractIncomingMessage) -> DeadLetter:
    events = events_of(message.body)
    return DeadLetter(
        service=service,
        id=ids(message.body)[0],
        types=[event.type for event in events],
        subjects=[event.subject for event in events],
        time=events[0].time.isoformat() if events else None,
        body=message.body.decode(errors="replace"),
    )


@asynccontextmanager
async def channel_of(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel that publishes with confirms. Raises one of UNREACHABLE."""
    async with await aio_pika.connect(url, timeout=5) as connection:
        yield await connection.channel(publisher_confirms=True, on_return_raises=True)
