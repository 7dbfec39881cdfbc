"""`order.confirmed` reaches the use case over a real broker."""

import asyncio
import uuid
from datetime import UTC, datetime

import msgspec

from cart.consumers import consumer
from cart.messages import OrderConfirmed
from cart.repository import Carts
from chassis.messaging import Envelope, Publisher, pack
from chassis.testing.fixtures import Broker
from chassis.valkey import Valkey


async def test_the_event_comes_over_the_broker(valkey: str, rabbitmq: Broker) -> None:
    async with Valkey(valkey, "carts", service="cart") as store:
        carts = Carts(store)
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
        async with consumer(carts, rabbitmq.url("cart")), asyncio.timeout(30):
            while (await carts.get("shopper")).items:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
