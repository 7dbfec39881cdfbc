"""Fixtures: a shop for this test session, its audit, shoppers and an administrator."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from collector import Collector
from shopper import Admin, Shopper

from shopctl.place import Place
from shopctl.runtime import RUNTIMES
from shopctl.shop import Shop

OFFSET = int(os.environ.get("TEST_PORT_OFFSET") or 10_000)


LAST = {"test_series.py", "test_privacy.py"}
"""What all the other tests have left behind is looked at after them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name in LAST)


@pytest.fixture(scope="session")
def telemetry() -> Iterator[Collector]:
    """Takes the spans of the whole session. Only the services of a native shop can send to it."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory, telemetry: Collector) -> Iterator[Shop]:
    """A running shop on RUNTIME (native by default), which is stopped and removed at the end of the session.

    It does not limit requests, because all of them come from one address. `tests/edge` tests the limits. A native shop
    records all traces.
    """
    run = tmp_path_factory.mktemp("shop")
    runtime = os.environ.get("RUNTIME") or "native"
    shop = RUNTIMES[runtime](Place(Path(__file__).parents[1], run, OFFSET))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RATE_LIMIT", "off")
        if runtime == "native":
            environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", telemetry.url)
        try:
            shop.up()
            yield shop
        finally:
            shop.reset()


@pytest.fixture(scope="session")
def observed(shop: Shop) -> Shop:
    """The shop with Prometheus and the other tools, from the first test that needs them to the end of the session."""
    shop.observe(True)
    shop.up()
    return shop


@pytest.fixture(scope="session")
def audit(shop: Shop) -> Callable[..., None]:
    """Waits until the shop is quiet, then fails unless every invariant holds.

    If the provider's answer for a payment was lost, the payment is retried when its lease ends, after a minute.
    """

    def run(*arguments: str) -> None:
        command = [sys.executable, "-m", "shopctl", "audit", "--wait", "120", *arguments]
        environment = os.environ | {"SHOP_RUN": str(shop.place.run), "SHOP_PORT_OFFSET": str(shop.place.offset)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    return run


@pytest.fixture(scope="session")
def admin(shop: Shop) -> Admin:
    return Admin(shop.place)


@pytest.fixture
def shopper(shop: Shop) -> Shopper:
    return Shopper(shop.place)


@pytest.fixture
def new_shopper(shop: Shop) -> Callable[[], Shopper]:
    return lambda: Shopper(shop.place)


@pytest.fixture
def provider(shop: Shop) -> Iterator[httpx2.Client]:
    """A client of the sandbox provider itself. Faults are switched off when the test ends."""
    with httpx2.Client(base_url=shop.place.psp_url, timeout=10, trust_env=False) as client:
        yield client
        client.post("/sandbox/faults", json={"mode": "none"}).raise_for_status()
