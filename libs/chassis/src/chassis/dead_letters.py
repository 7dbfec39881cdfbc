"""Tells managers how many messages a service could not handle: the length of its queue `<service>.dead`.

A message that failed too often waits there for a person. Nobody would look without a number in the back office.
`test_dead_letters.py` counts with the rights that a service has.
"""

import asyncio

import aio_pika
from fastapi import APIRouter, Depends
from pydantic import BaseModel, SecretStr

from chassis.auth import requires
from chassis.errors import Unavailable
from chassis.messaging.connection import BrokerDown, close, connect

__all__ = ["DeadLetters", "count", "router"]

TIMEOUT = 1.5
"""Seconds for the connection and the answer; the storefront waits for 2."""


class DeadLetters(BaseModel):
    queue: str
    messages: int


def router(prefix: str, service: str, url: SecretStr | str) -> APIRouter:
    """Returns GET `<prefix>/dead-letters`. It must be registered before a route `<prefix>/{id}`."""
    routes = APIRouter(prefix=prefix, tags=["admin"], dependencies=[Depends(requires("orders:manage"))])

    @routes.get("/dead-letters")
    async def dead_letters() -> DeadLetters:
        """Counts the messages that this service could not handle. `shopctl dead-letters` shows them."""
        queue = f"{service}.dead"
        return DeadLetters(queue=queue, messages=await count(url, queue))

    return routes


async def count(url: SecretStr | str, queue: str) -> int:
    """Returns how many messages wait in a queue, over a connection of its own. Raises Unavailable.

    A passive declaration requires any permission for the queue since RabbitMQ 4.3, and none before. A service has the
    permission to write to it (shopctl's definitions), so it can count what it must not read.
    """
    try:
        async with asyncio.timeout(TIMEOUT):
            connection = await connect(url, f"{queue}:count")
            try:
                channel = await connection.channel(publisher_confirms=False)
                found = await channel.declare_queue(queue, passive=True)
                return found.declaration_result.message_count or 0
            finally:
                await close(connection)
    except (BrokerDown, OSError, TimeoutError, RuntimeError, aio_pika.exceptions.AMQPError) as error:
        raise _unavailable() from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise _unavailable() from error  # aiormq cancels its waiters when the connection is lost


def _unavailable() -> Unavailable:
    return Unavailable("broker-unavailable", "The message broker does not answer", "Try again in a moment.")
