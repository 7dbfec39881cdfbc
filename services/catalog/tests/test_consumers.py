"""Messages reach the use cases over a real broker."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from catalog.consumers import consumer
from catalog.messages import OrderConfirmed, ReleaseStock, ReserveStock
from chassis.db import Database
from chassis.ids import uuid7
from chassis.messaging import Publisher

TEMPLATE = Path(__file__).parents[3] / "deploy" / "rabbitmq" / "definitions.json.template"


def envelope(type: str, data: dict) -> bytes:
    event = {
        "specversion": "1.0",
        "id": str(uuid7()),
        "source": "/quayside/order",
        "type": type,
        "time": "2026-01-01T00:00:00Z",
        "subject": data["order_id"],
        "data": data,
    }
    return json.dumps([event]).encode()


async def settled(db: Database, sku: str, expected: tuple[int, int, int]) -> None:
    async with asyncio.timeout(20):
        while True:
            async with db.connection() as connection:
                row = await connection.fetchrow("SELECT available, held, sold FROM stock WHERE sku = $1", sku)
            if tuple(row) == expected:
                return
            await asyncio.sleep(0.05)


async def test_commands_and_events_move_stock(db: Database, add, rabbitmq) -> None:
    await add("A", stock=3)
    order = str(uuid4())

    async with Publisher(rabbitmq.url("order"), name="test") as publisher, consumer(db, rabbitmq.url("catalog")):

        async def send(type: str, **data: object) -> None:
            await publisher.publish("catalog.in", type, envelope(type, {"order_id": order, **data}))

        await send(ReserveStock.type, lines=[{"sku": "A", "quantity": 2, "name": "a field of tomorrow"}])
        await settled(db, "A", (1, 2, 0))
        await send(OrderConfirmed.type, sub="u", cart_version="v", lines=[{"sku": "A", "quantity": 2}])
        await settled(db, "A", (1, 0, 2))
        await send(ReleaseStock.type)
        await settled(db, "A", (3, 0, 0))


@pytest.mark.parametrize("message", [ReserveStock, ReleaseStock, OrderConfirmed])
def test_the_topology_routes_what_is_consumed(message: Callable[..., object]) -> None:
    bindings = json.loads(TEMPLATE.read_text())["bindings"]

    assert message.type in {b["routing_key"] for b in bindings if b["destination"] == "catalog"}
