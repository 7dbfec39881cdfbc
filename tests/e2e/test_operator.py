"""The operator's terminal on a running shop: `shopctl top`, `logs --order`, `trace`."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from shopper import until

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected
from shopctl.shop import Shop

SHOPCTL = [sys.executable, "-m", "shopctl"]


@pytest.fixture
def shopctl(shop: Shop):
    """Runs a command about the shop in a terminal of 80 columns, and returns its standard output."""
    ours = {"SHOP_RUN": str(shop.place.run), "SHOP_PORT_OFFSET": str(shop.place.offset), "RUNTIME": shop.runtime}
    environment = {**os.environ, **ours, "COLUMNS": "80"}

    def run(*arguments: str) -> str:
        done = subprocess.run([*SHOPCTL, *arguments], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def hanging(shop: Shop) -> Iterator[str]:
    """A service that has stopped answering, and goes on at the end."""
    with injected(shop, catalog.find("freeze"), "identity"):
        yield "identity"


def test_top_shows_every_service_and_store_and_what_it_cannot_reach(shop: Shop, shopctl, hanging: str) -> None:
    for _ in until(60):  # on a busy machine, others may be silent for a moment too
        figures = json.loads(shopctl("top", "--json"))
        if figures["trouble"] == [f"{hanging} does not answer."]:
            break
    page = shopctl("top", "--once")

    up = {each["name"]: each["up"] for each in figures["services"]}
    assert up == {name: int(name != hanging) for name in ("edge", *shop.place.services.names)}
    assert {"postgres", "valkey", "rabbitmq"} <= {each["name"] for each in figures["stores"] if each["up"]}
    assert all(each["memory"] for each in figures["services"])
    assert figures["queues"]["order"][1] == 1  # consumers
    assert figures["trouble"] == [f"{hanging} does not answer."]
    assert f"{hanging} does not answer." in page
    assert max(map(len, page.splitlines())) <= 80


def test_top_counts_orders_while_they_are_placed(shopctl, new_shopper, admin) -> None:
    sku, enough = admin.product(stock=1000), threading.Event()

    def shopping() -> None:
        while not enough.is_set():
            shopper = new_shopper()
            shopper.waits_for(shopper.buy(sku))

    with ThreadPoolExecutor() as pool:
        orders = pool.submit(shopping)
        try:
            for _ in until(60):  # it compares two looks, a second apart; an order may take longer
                figures = json.loads(shopctl("top", "--json"))
                if figures["orders"]["placed"] and figures["orders"]["confirmed"]:
                    break
        finally:
            enough.set()
        orders.result()

    assert figures["orders"]["placed"] > 0
    assert figures["orders"]["confirmed"] > 0
    assert 0 < figures["orders"]["p50"] < 10
    assert {each["state"] for each in figures["orders"]["open"]} >= {"PENDING", "RESERVED"}
    assert any(each["name"] == "POST /api/orders" for each in figures["routes"])


def test_trace_and_logs_show_one_order(shopctl, shopper, admin) -> None:
    id = shopper.buy(admin.product(stock=1), method="tok_declined")
    shopper.waits_for(id, "PAYMENT_FAILED")

    drawn = shopctl("trace", id)
    logged = shopctl("logs", "--order", id)

    for step in ("PENDING", "RESERVED", "PAYMENT_FAILED", "catalog.reserve-stock.v1", "payment.failed.v1"):
        assert step in drawn
    assert f"order {id} PAYMENT_FAILED" in logged
    assert [line for line in logged.splitlines() if id not in line and "/api/orders" not in line] == []
