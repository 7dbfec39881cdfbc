"""The retry ladder: publishes a failed event again for a later attempt, and after the last attempt as a dead letter.

The event waits in the broker: each step is a queue whose messages return to the service's own queue after its delay.
Each service has its own steps and dead letters, because through shared ones it could reach another service's queue.
`test_consumer.py` sends an event up the ladder.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec
from aio_pika.abc import AbstractIncomingMessage
from pydantic import SecretStr

from chassis import metrics
from chassis.messaging.connection import BrokerDown
from chassis.messaging.envelope import Envelope, pack
from chassis.messaging.publisher import Publisher, Refused
from chassis.outage import Outage
from chassis.waiting import pause

__all__ = ["SENT_AS", "STEPS", "Gone", "Ladder", "attempts_of"]

log = logging.getLogger(__name__)

STEPS = ("retry.5s", "retry.30s", "retry.5m")
DEAD = "dead"
ATTEMPTS = "x-attempts"
SENT_AS = "x-sent-as"
Gone = Callable[[], bool]
"""A function that returns whether the deliveries are lost, because their channel or queue was lost."""


class Ladder:
    """Publishes the failed messages of one queue to `<queue>.failed`; retries until it succeeds or `stopping` is set.

    `climb` and `bury` return whether they succeeded. If not, the broker delivers the messages again.
    """

    def __init__(self, url: SecretStr | str, queue: str, stopping: asyncio.Event) -> None:
        self._queue = queue
        self._stopping = stopping
        self._publisher = Publisher(url, name=f"{queue}:retry")
        self._outage = Outage(log, f"putting aside failed events of {queue}")
        for step in (*STEPS, DEAD):
            metrics.retries.labels(queue, step)  # Prometheus sees no increase in a counter that begins with 1

    async def close(self) -> None:
        await self._publisher.__aexit__()

    async def climb(self, envelope: Envelope, attempts: int, error: Exception, gone: Gone) -> bool:
        """Moves an event one step up after `attempts` earlier failures; after the last step, to the dead letters.

        The first failure and the last one are logged.
        """
        step = STEPS[attempts] if attempts < len(STEPS) else DEAD
        if step in (STEPS[0], DEAD):
            log.error(
                "%s: event %s (%s) failed: %s; to %s",
                *(self._queue, envelope.id, envelope.type, error, step),
                exc_info=None if isinstance(error, msgspec.DecodeError | LookupError) else error,
                extra={"fields": {"subject": envelope.subject}},
            )
        ((_, body),) = pack([envelope])
        return await self._send(step, body, {ATTEMPTS: attempts + 1}, gone)

    async def bury(self, message: AbstractIncomingMessage, why: object, gone: Gone) -> bool:
        """Moves a message that cannot be read to the dead letters at once: a retry would not help.

        Its original routing key is kept, so that a replay by an operator gives it no further rights.
        """
        log.error("%s: a message cannot be read: %s; to %s", self._queue, why, DEAD)
        return await self._send(DEAD, message.body, {ATTEMPTS: 0, SENT_AS: sent_as(message)}, gone)

    async def _send(self, step: str, body: bytes, headers: dict[str, Any], gone: Gone) -> bool:
        delay = 0.1
        while not (gone() or self._stopping.is_set()):
            try:
                await self._publisher.publish(f"{self._queue}.failed", step, body, headers=headers)
            except (BrokerDown, Refused) as error:
                self._outage.failed(error)
                await pause(self._stopping, delay)
                delay = min(delay * 2, 5)
            else:
                self._outage.over()
                metrics.retries.labels(self._queue, step).inc()
                return True
        return False


def sent_as(message: AbstractIncomingMessage) -> str | None:
    """Returns the routing key with which a service sent a message; None if the ladder or an operator sent it.

    In the default exchange the routing key is the queue's name, and only the ladder and operators may publish there.
    """
    if message.exchange:
        return message.routing_key
    found = message.headers.get(SENT_AS)
    return found if isinstance(found, str) else None


def attempts_of(message: AbstractIncomingMessage) -> int:
    """Returns how often the event has failed, limited to the number of steps; the header may hold anything."""
    attempts = message.headers.get(ATTEMPTS, 0)
    return min(max(attempts, 0), len(STEPS)) if isinstance(attempts, int) else 0
