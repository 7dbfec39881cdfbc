"""An order that is confirmed empties the cart it was made from, over a real broker."""

import asyncio
import uuid
from datetime import UTC, datetime

import msgspec

from cart import usecases
from cart.consumers import consumer
from cart.messages import OrderConfirmed
from cart.repository import Carts
from chassis.messages import Event
from chassis.messaging import Envelope, Publisher, pack
from chassis.testing.fixtures import Broker


def confirmed(sub: str, version: str | None) -> Event[OrderConfirmed]:
    return Event(uuid.uuid4(), str(uuid.uuid4()), OrderConfirmed(sub=sub, cart_version=version or ""))


async def test_only_carts_that_are_still_as_ordered_are_emptied(valkey: str) -> None:
    async with Carts(valkey) as carts:
        ordered = await carts.change("ordered", {"MUG-1": 1})
        old = await carts.change("changed", {"MUG-1": 1})
        new = await carts.change("changed", {"MUG-1": 2})
        events = [
            confirmed("ordered", ordered.version),
            confirmed("changed", old.version),
            confirmed("never", str(uuid.uuid4())),
        ]
        for _ in range(2):
            await usecases.empty_ordered(carts, events)
            assert (await carts.get("ordered")).items == []
            assert await carts.get("changed") == new


async def test_the_event_comes_over_the_broker(valkey: str, rabbitmq: Broker) -> None:
    async with Carts(valkey) as carts:
        cart = await carts.change("shopper", {"MUG-1": 1})
        data = {"order_id": str(uuid.uuid4()), "sub": "shopper", "cart_version": cart.version, "lines": []}
        envelope = Envelope(
            uuid.uuid4(),
            "order",
            OrderConfirmed.type,
            datetime.now(UTC),
            "an order",
            msgspec.Raw(msgspec.json.encode(data)),
        )
        ((_, body),) = pack([envelope])
        async with Publisher(rabbitmq.url(), name="test") as publisher:
            await publisher.publish("cart.in", OrderConfirmed.type, body)
        async with consumer(carts, rabbitmq.url("cart")), asyncio.timeout(10):
            while (await carts.get("shopper")).items:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
