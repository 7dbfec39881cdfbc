"""Fixtures: the application with a real Valkey, the other services in one server, and browsers without a screen."""

from collections.abc import AsyncIterator, Callable, Iterator

import httpx2
import pytest
from fastapi import FastAPI

from chassis.http import HttpClient
from chassis.testing.apps import client_of, started
from storefront.main import create
from storefront.settings import Settings

from .others import Others
from .others import problem as others_problem
from .prometheus import prometheus as running_prometheus

Browser = Callable[..., httpx2.AsyncClient]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other services run in the test's own process: if it pauses for seconds, they have not failed."""
    monkeypatch.setitem(HttpClient.__init__.__kwdefaults__, "timeout", 30.0)


@pytest.fixture
async def others() -> AsyncIterator[Others]:
    async with Others() as others:
        others.sell("MUG-1", name="A mug")
        yield others


@pytest.fixture
def problem():
    """Makes a problem, as services answer it, for `others.refused`."""
    return others_problem


@pytest.fixture
def settings(valkey: str, others: Others) -> Settings:
    return Settings(
        environment="development",
        valkey_url=valkey,
        valkey_timeout=5,
        catalog_url=others.url,
        cart_url=others.url,
        order_url=others.url,
        payment_url=others.url,
        identity_url=others.url,
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with started(create(settings)) as app:
        yield app


@pytest.fixture
def browser(app: FastAPI) -> Browser:
    """`async with browser() as ann:` gives a client that keeps cookies, and asks for pages as browsers do."""
    headers = {"Accept": "text/html,*/*;q=0.8", "Accept-Language": "en", "Sec-Fetch-Site": "same-origin"}
    return lambda **more: client_of(app, headers=headers | more)


@pytest.fixture(scope="session")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prometheus with the metrics of a shop."""
    with running_prometheus(tmp_path_factory.mktemp("prometheus")) as address:
        yield address
