"""RabbitMQ by AMQP, as its operator, for faults."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from chassis.local.processes import StartError
from shopctl.chaos.fault import Target

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel

__all__ = ["on_channel"]

T = TypeVar("T")


def on_channel(shop: Target, work: "Callable[[AbstractChannel], Awaitable[T]]") -> T:
    """Do `work` on a channel that publishes with confirms. Raises StartError."""
    from shopctl import broker  # which loads slowly

    async def run() -> T:
        async with broker.channel_of(shop.place.broker_url("operator")) as channel:
            return await work(channel)

    try:
        return asyncio.run(run())
    except broker.UNREACHABLE as error:
        raise StartError(f"RabbitMQ does not do it: {error or type(error).__name__}") from error
