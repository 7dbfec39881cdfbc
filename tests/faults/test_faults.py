"""Faults of the catalog while shoppers order; afterwards the audit passes.

`test_effects.py` shows that each of them does to the shop what it says.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from shopctl import services
from shopctl.chaos import catalog
from shopctl.chaos.injection import injected

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)

Steps = Sequence[tuple[str, str, float]]
"""Faults one after another: the name, what it is injected on, and for how many seconds."""

CASES: Sequence[Steps] = (
    *([("kill", service, 1)] for service in services.load(ROOT).names),
    [("kill", "postgres", 0)],
    [("stop", "postgres", 1)],
    [("kill", "rabbitmq", 0)],
    [("stop", "rabbitmq", 10)],
    [("unbind", "catalog/order.confirmed.v1", 6)],  # a message that reached only the cart is not delivered to both
    [("memory-alarm", "rabbitmq", 3), ("disk-alarm", "rabbitmq", 3), ("poison", "order", 0)],
    [("stop", "valkey", 3), ("valkey-full", "valkey", 2), ("valkey-empty", "valkey", 0)],
)
PROVIDER: Steps = (
    ("provider-slow", "psp", 4),
    ("provider-500", "psp", 3),
    ("provider-lies", "psp", 3),
    ("provider-lost-reply", "psp", 3),
)


def described(steps: Steps) -> str:
    return ", ".join(f"{name} {on}" for name, on, _ in steps)


@pytest.mark.parametrize("steps", CASES, ids=described)
def test_orders_stay_right(shop, flow, audit, steps: Steps) -> None:
    with flow() as orders:
        cause(shop, steps)
    audit("--attempts", str(orders.attempts))


def test_orders_stay_right_whatever_the_provider_does(shop, flow, audit) -> None:
    with flow(methods=("tok_visa",)) as orders:
        cause(shop, PROVIDER)
    audit("--attempts", str(orders.attempts))


def cause(shop, steps: Steps) -> None:
    for name, on, seconds in steps:
        with injected(shop, catalog.find(name), on):
            time.sleep(seconds)
