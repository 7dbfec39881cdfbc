"""What the faults do to the shop, and that it is over when they are."""

import asyncio

import pytest
from aio_pika.abc import AbstractChannel

from shopctl import broker
from shopctl.chaos import catalog
from shopctl.chaos.amqp import on_channel
from shopctl.chaos.faults import messages
from shopctl.chaos.injection import injected, notes
from shopctl.shop import Shop


def test_a_full_valkey_still_shows_carts(shop, shopper, admin) -> None:
    sku = admin.product(stock=5)
    shopper.put(sku)
    with injected(shop, catalog.find("valkey-full"), "valkey"):
        refused = shopper.http.put(f"/api/cart/items/{sku}", json={"quantity": 2})
        shown = shopper.http.get("/api/cart")
    shopper.put(sku, 2)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert [item["quantity"] for item in shown.json()["items"]] == [1]


def test_an_empty_valkey_has_lost_the_carts(shop, shopper, admin) -> None:
    shopper.put(admin.product(stock=5))
    with injected(shop, catalog.find("valkey-empty"), "valkey"):
        assert shopper.http.get("/api/cart").json()["items"] == []


@pytest.mark.parametrize(
    ("fault", "on"),
    [
        ("memory-alarm", "rabbitmq"),
        ("disk-alarm", "rabbitmq"),
        ("unbind", "catalog/catalog.reserve-stock.v1"),
    ],
)
def test_an_order_waits_for_the_broker(shop, shopper, admin, fault: str, on: str) -> None:
    sku = admin.product(stock=5)
    with injected(shop, catalog.find(fault), on):
        id = shopper.buy(sku)
        with pytest.raises(AssertionError, match="still PENDING"):
            shopper.waits_for(id, seconds=1)
    assert shopper.waits_for(id) == "CONFIRMED"


def test_a_poisonous_message_is_a_dead_letter_until_it_is_removed(shop) -> None:
    poison = catalog.find("poison")
    with injected(shop, poison, "order"):
        (first,) = notes(shop)
        with injected(shop, poison, "order"):
            assert len(dead(shop)) == 2
        assert dead(shop) == [first.state["body"]]  # each removes only its own
    assert dead(shop) == []


def test_waiting_for_a_poisonous_message_takes_no_dead_letter_out_of_its_queue(shop) -> None:
    async def look(channel: AbstractChannel) -> int:
        url = shop.place.broker_url("operator")
        await messages.look(channel, url, "order", b"another", remove=True)
        return len(await broker.dead_letters(url, ["order"]))

    with injected(shop, catalog.find("poison"), "order"):
        assert on_channel(shop, look) == 1


def dead(shop: Shop) -> list[str]:
    letters = asyncio.run(broker.dead_letters(shop.place.broker_url("operator"), ["order"]))
    return [letter.body for letter in letters]


@pytest.mark.parametrize(
    ("fault", "mode"),
    [
        ("provider-slow", "slow"),
        ("provider-500", "error500"),
        ("provider-lost-reply", "lost-reply"),
        ("provider-lies", "lies"),
    ],
)
def test_the_provider_is_set_and_reset(shop, provider, fault: str, mode: str) -> None:
    with injected(shop, catalog.find(fault), "psp"):
        assert provider.get("/sandbox/faults").json()["mode"] == mode
    assert provider.get("/sandbox/faults").json()["mode"] == "none"
