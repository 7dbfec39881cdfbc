"""Messages that come twice, in reverse order, or are lost with their queue; afterwards everything agrees."""

import asyncio
import time
from contextlib import ExitStack

import asyncpg
import pytest
from shopper import eventually

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected
from shopctl.shop import Shop
from shopctl.status import Backlog, look_into

pytestmark = pytest.mark.timeout(240)


def test_every_message_is_delivered_twice(shop, flow, audit) -> None:
    known = archived(shop)
    with flow() as orders, ExitStack() as faults:
        twice = catalog.find("twice")
        began = [faults.enter_context(injected(shop, twice, publisher)) for publisher in twice.on(shop)]
        time.sleep(3)
        assert eventually(lambda: all(count > known[name] for name, count in archived(shop).items()))
    assert all(each.state["published"] > 0 for each in began)
    audit("--attempts", str(orders.attempts))
    before = archived(shop)
    for publisher in catalog.find("twice").on(shop):
        with injected(shop, catalog.find("twice"), publisher):
            pass
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


def test_undo_arrives_before_do_at_catalog(shop, shopper, admin, audit) -> None:
    sku = admin.product(stock=5)
    with injected(shop, catalog.find("reverse"), "catalog"):
        id = shopper.buy(sku, 2)
        shopper.http.post(f"/api/orders/{id}/cancel").raise_for_status()
        assert eventually(lambda: waiting(shop, "catalog") >= 2)

    assert shopper.waits_for(id, "CANCELLED") == "CANCELLED"
    audit()
    assert admin.available(sku) == 5


def test_undo_arrives_before_do_at_payment(shop, shopper, admin, audit, provider) -> None:
    sku = admin.product(stock=5)
    with injected(shop, catalog.find("reverse"), "payment"):
        id = shopper.buy(sku, 2)
        shopper.waits_for(id, "RESERVED")
        shopper.http.post(f"/api/orders/{id}/cancel").raise_for_status()
        assert eventually(lambda: waiting(shop, "payment") >= 2)

    assert shopper.waits_for(id, "CANCELLED") == "CANCELLED"
    assert provider.get("/charges", params={"order_id": id}).json()["items"] == []
    audit()
    assert admin.available(sku) == 5


def test_queues_are_deleted_with_their_messages(shop, flow, audit) -> None:
    delete = catalog.find("delete-queue")
    with flow() as orders, injected(shop, delete, "catalog"), injected(shop, delete, "order"):
        assert eventually(lambda: look(shop).missing == ["catalog", "order"])
    audit("--attempts", str(orders.attempts))
    assert (look(shop).missing, look(shop).unconsumed) == ([], [])


def test_a_queue_that_is_declared_again_at_once_gets_its_messages_back(shop, shopper, admin, audit) -> None:
    sku = admin.product(stock=5)
    with injected(shop, catalog.find("reverse"), "catalog"):  # which does not consume
        id = shopper.buy(sku)
        assert eventually(lambda: waiting(shop, "catalog") >= 1)
        with injected(shop, catalog.find("delete-queue"), "catalog"):
            assert eventually(lambda: look(shop).missing == ["catalog"])
    assert shopper.waits_for(id) == "CONFIRMED"
    audit()


def waiting(shop: Shop, queue: str) -> int:
    """Returns the number of messages in a queue: more than were sent, if a confirm came late and one was sent again."""
    return look(shop).queues.get(queue, 0)


def look(shop: Shop) -> Backlog:
    """Reads the backlog as `make status` does: without the queues, if the broker does not answer within 5 s."""
    return asyncio.run(look_into(shop.place))
