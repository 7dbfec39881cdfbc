"""The retry ladder: where an event goes that no handler could take, and from there to the dead letters.

The broker waits, not we: each step is a queue whose messages return to the service's own queue when their time is up.
Steps and dead letters are the service's own, since by a shared ladder it could reach another service's queue.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from aio_pika.abc import AbstractIncomingMessage
from pydantic import SecretStr

from chassis.messaging.connection import BrokerDown
from chassis.messaging.envelope import Envelope, pack
from chassis.messaging.publisher import Publisher, Refused
from chassis.waiting import pause

__all__ = ["SENT_AS", "STEPS", "Gone", "Ladder", "attempts_of"]

log = logging.getLogger(__name__)

STEPS = ("retry.5s", "retry.30s", "retry.5m")
DEAD = "dead"
ATTEMPTS = "x-attempts"
SENT_AS = "x-sent-as"
Gone = Callable[[], bool]
"""Whether our deliveries are no more ours, since their channel or their queue is gone."""


class Ladder:
    """Publishes one queue's failures to `<queue>.failed` until the broker has them, or until `stopping` is set.

    Each method tells whether it is done. If not, our own deliveries are gone, and come again.
    """

    def __init__(self, url: SecretStr | str, queue: str, stopping: asyncio.Event) -> None:
        self._queue = queue
        self._stopping = stopping
        self._publisher = Publisher(url, name=f"{queue}:retry")

    async def close(self) -> None:
        await self._publisher.__aexit__()

    async def climb(self, envelope: Envelope, attempts: int, error: Exception, gone: Gone) -> bool:
        """One step up after `attempts` failures before this one; past the last step are the dead letters."""
        step = STEPS[attempts] if attempts < len(STEPS) else DEAD
        log.error(
            "%s: event %s (%s) of %s failed: %s; to %s",
            *(self._queue, envelope.id, envelope.type, envelope.subject, error, step),
            exc_info=None if isinstance(error, msgspec.DecodeError | LookupError) else error,
        )
        ((_, body),) = pack([envelope])
        return await self._send(step, body, {ATTEMPTS: attempts + 1}, gone)

    async def bury(self, message: AbstractIncomingMessage, why: object, gone: Gone) -> bool:
        """To the dead letters at once: what is not even an event will not become one.

        The routing key by which it was sent goes with it, so that an operator who sends it again gives it no rights.
        """
        log.error("%s: a message that cannot be read: %s; to %s", self._queue, why, DEAD)
        return await self._send(DEAD, message.body, {ATTEMPTS: 0, SENT_AS: sent_as(message)}, gone)

    async def _send(self, step: str, body: bytes, headers: dict[str, Any], gone: Gone) -> bool:
        delay = 0.1
        told = None
        while not (gone() or self._stopping.is_set()):
            try:
                await self._publisher.publish(f"{self._queue}.failed", step, body, headers=headers)
            except (BrokerDown, Refused) as error:
                if str(error) != told:
                    log.warning("%s: %s; again until it succeeds", self._queue, error)
                told = str(error)
                await pause(self._stopping, delay)
                delay = min(delay * 2, 5)
            else:
                return True
        return False


def sent_as(message: AbstractIncomingMessage) -> str | None:
    """The routing key by which a service sent it; None where the ladder or an operator did.

    What comes through the default exchange has the queue's name for a key, and only they may send there.
    """
    if message.exchange:
        return message.routing_key
    found = message.headers.get(SENT_AS)
    return found if isinstance(found, str) else None


def attempts_of(message: AbstractIncomingMessage) -> int:
    """How often the message's event has failed before, from 0 to the number of steps; anybody may write the header."""
    attempts = message.headers.get(ATTEMPTS, 0)
    return min(max(attempts, 0), len(STEPS)) if isinstance(attempts, int) else 0
