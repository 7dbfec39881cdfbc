"""The client of catalog: what it remembers, and what it assumes while catalog does not answer."""

import logging
import time
from collections.abc import AsyncIterator

import pytest

from cart import clients
from cart.clients import CatalogClient
from chassis.errors import Unavailable
from chassis.waiting import deadline

from .conftest import FakeCatalog


@pytest.fixture
async def catalog() -> AsyncIterator[FakeCatalog]:
    async with FakeCatalog() as catalog:
        yield catalog


async def test_a_product_that_is_known_is_asked_for_once(catalog: FakeCatalog) -> None:
    async with catalog.client() as http:
        client = CatalogClient(http)
        assert [await client.has("MUG-1") for _ in range(3)] == [True] * 3
    assert catalog.asked == 1


async def test_one_that_is_not_is_asked_for_each_time(catalog: FakeCatalog) -> None:
    """It may be created at any moment."""
    async with catalog.client() as http:
        client = CatalogClient(http)
        assert [await client.has("CUP-1") for _ in range(3)] == [False] * 3
    assert catalog.asked == 3


@pytest.mark.parametrize(("status", "hang"), [(503, False), (500, False), (404, False), (429, False), (None, True)])
async def test_without_an_answer_every_sku_is_accepted(
    catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch, status: int | None, hang: bool
) -> None:
    monkeypatch.setattr(clients, "REST_SECONDS", 0)
    catalog.status, catalog.hang = status, hang
    async with catalog.client(timeout=1 if hang else 10) as http:
        client = CatalogClient(http)
        assert await client.has("CUP-1")
        catalog.status, catalog.hang = None, False
        assert not await client.has("CUP-1"), "the assumption was remembered"


async def test_a_catalog_that_does_not_answer_is_not_asked_for_a_while(
    catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients, "REST_SECONDS", 60)
    catalog.status = 503
    async with catalog.client() as http:
        client = CatalogClient(http)
        assert [await client.has(f"CUP-{n}") for n in range(3)] == [True] * 3
    assert catalog.asked == 1


async def test_a_short_deadline_is_no_outage(catalog: FakeCatalog, caplog: pytest.LogCaptureFixture) -> None:
    async with catalog.client() as http:
        client = CatalogClient(http)
        deadline.set(time.monotonic())
        with pytest.raises(Unavailable, match="deadline-passed"):
            await client.has("CUP-1")
        deadline.set(None)
        assert not await client.has("CUP-1")
    assert [record for record in caplog.records if record.name == "cart.clients"] == []


async def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with FakeCatalog() as gone:
        http = gone.client()
    with caplog.at_level(logging.INFO, logger="cart.clients"):
        async with http:
            client = CatalogClient(http)
            assert [await client.has("MUG-1") for _ in range(3)] == [True] * 3
    assert len(caplog.records) == 1


async def test_what_is_remembered_is_bounded(catalog: FakeCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "KNOWN_SKUS", 8)
    catalog.status = 200
    async with catalog.client() as http:
        client = CatalogClient(http)
        for n in range(50):
            await client.has(f"SKU-{n}")
        assert len(client._known) <= 8
        asked = catalog.asked
        await client.has("SKU-49")
        assert catalog.asked == asked
