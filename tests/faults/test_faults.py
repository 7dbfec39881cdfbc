"""Tests that kill, stop and disturb parts of the shop while shoppers order; afterwards the audit passes."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import pytest

from shopctl import archive, services
from shopctl.shop import Shop

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("service", services.load(ROOT).names)
def test_a_service_is_killed(shop, flow, audit, service: str) -> None:
    with flow() as orders:
        shop.kill(service)
        time.sleep(1)
        shop.start(service)
    audit("--attempts", str(orders.attempts))


def test_rabbitmq_stops_for_ten_seconds(shop, flow, audit) -> None:
    with flow() as orders:
        shop.stop("rabbitmq")
        time.sleep(10)
        shop.start("rabbitmq")
    audit("--attempts", str(orders.attempts))


def test_rabbitmq_is_killed(shop, flow, audit) -> None:
    with flow() as orders:
        shop.kill("rabbitmq")
        shop.start("rabbitmq")
    audit("--attempts", str(orders.attempts))


def test_postgresql_restarts(shop, flow, audit) -> None:
    with flow() as orders:
        shop.stop("postgres")
        time.sleep(1)
        shop.start("postgres")
    audit("--attempts", str(orders.attempts))


def test_postgresql_is_killed(shop, flow, audit) -> None:
    with flow() as orders:
        shop.kill("postgres")
        shop.start("postgres")
    audit("--attempts", str(orders.attempts))


def test_valkey_stops(shop, flow, audit) -> None:
    with flow() as orders:
        shop.stop("valkey")
        time.sleep(3)
        shop.start("valkey")
    audit("--attempts", str(orders.attempts))


@pytest.mark.parametrize("fault", [{"mode": "slow", "seconds": 3}, {"mode": "error500"}, {"mode": "lost-reply"}])
def test_the_provider_fails(shop, flow, audit, provider, fault: dict[str, Any]) -> None:
    with flow(methods=("tok_visa",)) as orders:
        provider.post("/sandbox/faults", json=fault).raise_for_status()
        time.sleep(6)
        provider.post("/sandbox/faults", json={"mode": "none"}).raise_for_status()
    audit("--attempts", str(orders.attempts))


def test_every_message_is_delivered_twice(shop, flow, audit) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    with flow() as orders:
        for _ in range(3):
            time.sleep(1)
            replay(shop, began)
    audit("--attempts", str(orders.attempts))
    before = archived(shop)
    replay(shop, began)
    audit("--attempts", str(orders.attempts))
    assert archived(shop) == before  # no reply was sent twice


def archived(shop: Shop) -> dict[str, int]:
    """Returns the number of messages that each service has published so far."""

    async def count(service: str) -> int:
        connection = await asyncpg.connect(shop.place.database_url("auditor", service))
        try:
            return int(await connection.fetchval("SELECT count(*) FROM outbox_archive"))
        finally:
            await connection.close()

    return {service: asyncio.run(count(service)) for service in shop.place.services.outboxes}


def replay(shop: Shop, since: datetime) -> None:
    """Publishes all messages since then again, under the same IDs."""
    for service in shop.place.services.outboxes:
        database, broker = shop.place.database_url("auditor", service), shop.place.broker_url(service)
        asyncio.run(archive.replay(service, database, broker, since, shop.place.services.consumers_of))


def test_undo_arrives_before_do_at_catalog(shop, shopper, admin, audit) -> None:
    sku = admin.product(stock=5)
    with reversed_queue(shop, "catalog", messages=2):
        id = shopper.buy(sku, 2)
        shopper.http.post(f"/api/orders/{id}/cancel").raise_for_status()

    assert shopper.waits_for(id, "CANCELLED") == "CANCELLED"
    audit()
    assert admin.available(sku) == 5


def test_undo_arrives_before_do_at_payment(shop, shopper, admin, audit, provider) -> None:
    sku = admin.product(stock=5)
    with reversed_queue(shop, "payment", messages=2):
        id = shopper.buy(sku, 2)
        shopper.waits_for(id, "RESERVED")
        shopper.http.post(f"/api/orders/{id}/cancel").raise_for_status()

    assert shopper.waits_for(id, "CANCELLED") == "CANCELLED"
    assert provider.get("/charges", params={"order_id": id}).json()["items"] == []
    audit()
    assert admin.available(sku) == 5


@contextmanager
def reversed_queue(shop: Shop, service: str, *, messages: int) -> Iterator[None]:
    """Holds back a service's messages during the block, then delivers them in reverse order."""
    url = shop.place.broker_url("operator")
    set_consuming(shop, service, False)
    try:
        yield
        asyncio.run(reverse(url, service, messages))
    finally:
        set_consuming(shop, service, True)


def set_consuming(shop: Shop, service: str, on: bool) -> None:
    """Restarts a service as API only, or as API and worker."""
    shop.stop(service)
    shop.start(service, ROLE="all" if on else "api")


async def reverse(url: str, queue: str, messages: int) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        waiting = await channel.get_queue(queue, ensure=False)
        taken: list[aio_pika.abc.AbstractIncomingMessage] = []
        deadline = time.monotonic() + 10
        while len(taken) < messages and time.monotonic() < deadline:
            if message := await waiting.get(fail=False):
                taken.append(message)
            else:
                await asyncio.sleep(0.05)
        assert len(taken) == messages
        for message in reversed(taken):
            copy = aio_pika.Message(message.body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            await channel.default_exchange.publish(copy, queue)
        for message in taken:
            await message.ack()
