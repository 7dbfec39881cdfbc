"""RabbitMQ by AMQP, as its operator, for faults."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from chassis.local.processes import StartError
from shopctl.chaos.fault import Target
from shopctl.console import reason

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel

__all__ = ["on_channel"]

T = TypeVar("T")

WITHIN = 30.0


def on_channel(shop: Target, work: "Callable[[AbstractChannel], Awaitable[T]]") -> T:
    """Do `work` on a channel that publishes with confirms, for at most 30 s. Raises StartError."""
    from shopctl import broker  # which loads slowly

    async def run() -> T:
        url = shop.place.broker_url("operator")
        async with asyncio.timeout(WITHIN), broker.channel_of(url) as channel:
            return await work(channel)

    try:
        return asyncio.run(run())
    except broker.UNREACHABLE as error:
        raise StartError(f"RabbitMQ does not do that: {reason(error)}") from error
