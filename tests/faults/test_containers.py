"""Faults of whole containers: frozen, cut off, all killed at once. Collected if RUNTIME=compose."""

import subprocess
import time

import pytest

from shopctl.chaos import catalog
from shopctl.chaos.injection import injected

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("name", ["order", "catalog", "postgres", "rabbitmq"])
def test_a_container_is_frozen_for_five_seconds(shop, flow, audit, name: str) -> None:
    with flow() as orders, injected(shop, catalog.find("freeze"), name):
        time.sleep(5)
    audit("--attempts", str(orders.attempts))


@pytest.mark.parametrize("name", ["cart", "payment", "postgres", "rabbitmq"])
def test_a_container_is_cut_off_for_five_seconds(shop, flow, audit, name: str) -> None:
    with flow() as orders, injected(shop, catalog.find("cut"), name):
        time.sleep(5)
    audit("--attempts", str(orders.attempts))


def test_everything_is_killed_at_once(shop, flow, audit) -> None:
    """This is like a power failure of the machine, after which `up` starts the shop again."""
    with flow() as orders:
        containers = [id for name in shop.names for id in shop.containers(name)]
        subprocess.run(["docker", "kill", *containers], check=True, capture_output=True, timeout=60)
        shop.up()
    audit("--attempts", str(orders.attempts))
