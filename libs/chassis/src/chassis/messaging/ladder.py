"""The retry ladder: where an event goes that no handler could take, and from there to the dead letters.

The broker waits, not we: each step is a queue whose messages return to the service's own queue when their time is up.
Steps and dead letters are the service's own, since by a shared ladder it could reach another service's queue.
"""

import asyncio
import contextlib
import logging

import msgspec
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from pydantic import SecretStr

from chassis.messaging.connection import BrokerDown
from chassis.messaging.envelope import Envelope, pack
from chassis.messaging.publisher import Publisher, Refused

__all__ = ["Ladder", "attempts_of", "pause"]

log = logging.getLogger(__name__)

STEPS = ("retry.5s", "retry.30s", "retry.5m")
DEAD = "dead"
ATTEMPTS = "x-attempts"


class Ladder:
    """Publishes one queue's failures to `<queue>.failed` until the broker has them, or until `stopping` is set.

    Each method tells whether it is done. If not, the channel of our own deliveries is gone, so that they come again.
    """

    def __init__(self, url: SecretStr | str, queue: str, stopping: asyncio.Event) -> None:
        self._queue = queue
        self._stopping = stopping
        self._publisher = Publisher(url, name=f"{queue}:retry")

    async def close(self) -> None:
        await self._publisher.__aexit__()

    async def climb(self, envelope: Envelope, attempts: int, error: Exception, channel: AbstractChannel) -> bool:
        """One step up after `attempts` failures before this one; past the last step are the dead letters."""
        step = STEPS[attempts] if attempts < len(STEPS) else DEAD
        log.error(
            "%s: event %s (%s) of %s failed: %s; to %s",
            *(self._queue, envelope.id, envelope.type, envelope.subject, error, step),
            exc_info=None if isinstance(error, msgspec.DecodeError | LookupError) else error,
        )
        ((_, body),) = pack([envelope])
        return await self._send(step, body, attempts + 1, channel)

    async def bury(self, body: bytes, why: object, channel: AbstractChannel) -> bool:
        """To the dead letters at once: what is not even an event will not become one."""
        log.error("%s: a message that cannot be read: %s; to %s", self._queue, why, DEAD)
        return await self._send(DEAD, body, 0, channel)

    async def _send(self, step: str, body: bytes, attempts: int, channel: AbstractChannel) -> bool:
        delay = 0.1
        told = None
        while not (channel.is_closed or self._stopping.is_set()):
            try:
                await self._publisher.publish(f"{self._queue}.failed", step, body, headers={ATTEMPTS: attempts})
            except (BrokerDown, Refused) as error:
                if str(error) != told:
                    log.warning("%s: %s; again until it succeeds", self._queue, error)
                told = str(error)
                await pause(self._stopping, delay)
                delay = min(delay * 2, 5)
            else:
                return True
        return False


def attempts_of(message: AbstractIncomingMessage) -> int:
    """How often the message's event has failed before, from 0 to the number of steps; anybody may write the header."""
    attempts = message.headers.get(ATTEMPTS, 0)
    return min(max(attempts, 0), len(STEPS)) if isinstance(attempts, int) else 0


async def pause(stopping: asyncio.Event, seconds: float) -> None:
    """Waits, and no longer once `stopping` is set."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stopping.wait(), seconds)
