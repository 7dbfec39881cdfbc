"""Faults that only containers can have: frozen, disconnected, all killed at once. Collected if RUNTIME=compose."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shopctl.compose import ComposeShop

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("name", ["order", "catalog", "postgres", "rabbitmq"])
def test_a_container_is_frozen_for_five_seconds(shop, flow, audit, name: str) -> None:
    with flow() as orders, frozen(shop, name):
        time.sleep(5)
    audit("--attempts", str(orders.attempts))


@pytest.mark.parametrize("name", ["cart", "payment", "postgres", "rabbitmq"])
def test_a_container_is_cut_off_for_five_seconds(shop, flow, audit, name: str) -> None:
    with flow() as orders, cut_off(shop, name):
        time.sleep(5)
    audit("--attempts", str(orders.attempts))


def test_everything_is_killed_at_once(shop, flow, audit) -> None:
    """This is like a power failure of the machine, after which `up` starts the shop again."""
    with flow() as orders:
        docker("kill", *(id for name in shop.names for id in shop.containers(name)))
        shop.up()
    audit("--attempts", str(orders.attempts))


@contextmanager
def frozen(shop: ComposeShop, name: str) -> Iterator[None]:
    docker("pause", *shop.containers(name))
    try:
        yield
    finally:
        docker("unpause", *shop.containers(name))


@contextmanager
def cut_off(shop: ComposeShop, name: str) -> Iterator[None]:
    (container,) = shop.containers(name)
    docker("network", "disconnect", shop.network, container)
    try:
        yield
    finally:
        docker("network", "connect", "--alias", name, shop.network, container)


def docker(*arguments: str) -> None:
    subprocess.run(["docker", *arguments], check=True, capture_output=True, timeout=60)
