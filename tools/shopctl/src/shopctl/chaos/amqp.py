"""RabbitMQ by AMQP, for faults."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from chassis.local.processes import StartError
from shopctl.chaos.fault import Target
from shopctl.console import reason

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel

__all__ = ["on_channel", "publish_again"]

T = TypeVar("T")

WITHIN = 30.0


def on_channel(shop: Target, work: "Callable[[AbstractChannel], Awaitable[T]]") -> T:
    """Do `work` as the operator, on a channel that publishes with confirms, for at most 30 s. Raises StartError."""
    from shopctl import broker  # which loads slowly

    async def run() -> T:
        url = shop.place.broker_url("operator")
        async with asyncio.timeout(WITHIN), broker.channel_of(url) as channel:
            return await work(channel)

    try:
        return asyncio.run(run())
    except (*broker.UNREACHABLE, RuntimeError) as error:  # aiormq raises some that are no AMQPError
        raise StartError(f"RabbitMQ does not do that: {reason(error)}") from error


def publish_again(shop: Target, service: str, since: float, consumers: Callable[[str], Sequence[str]]) -> int:
    """Publish what the service has published since then, under the same IDs; returns how many. Raises StartError.

    `consumers` returns the services that get a message type.
    """
    from asyncpg import InterfaceError

    from shopctl import archive  # which loads slowly

    database, broker = shop.place.database_url("auditor", service), shop.place.broker_url(service)
    try:
        return asyncio.run(archive.replay(service, database, broker, datetime.fromtimestamp(since, UTC), consumers))
    except (*archive.FAILURES, InterfaceError) as error:
        raise StartError(f"{service}'s messages cannot be published again: {reason(error)}") from error
