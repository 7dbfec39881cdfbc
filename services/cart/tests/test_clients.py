"""What the cart knows of products, and what it takes when nobody tells it."""

import logging
import time
from collections.abc import AsyncIterator

import pytest

from cart import clients
from cart.clients import CatalogClient
from chassis.errors import Unavailable
from chassis.waiting import deadline

from .conftest import Catalogue


@pytest.fixture
async def catalogue() -> AsyncIterator[Catalogue]:
    async with Catalogue() as catalogue:
        yield catalogue


async def test_a_product_that_is_known_is_asked_for_once(catalogue: Catalogue) -> None:
    async with catalogue.client() as http:
        client = CatalogClient(http)
        assert [await client.has("MUG-1") for _ in range(3)] == [True] * 3
    assert catalogue.asked == 1


async def test_one_that_is_not_is_asked_for_each_time(catalogue: Catalogue) -> None:
    """It may be made at any moment."""
    async with catalogue.client() as http:
        client = CatalogClient(http)
        assert [await client.has("CUP-1") for _ in range(3)] == [False] * 3
    assert catalogue.asked == 3


@pytest.mark.parametrize(("status", "hang"), [(503, False), (500, False), (404, False), (429, False), (None, True)])
async def test_without_its_word_everything_is_taken(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch, status: int | None, hang: bool
) -> None:
    monkeypatch.setattr(clients, "REST_SECONDS", 0)
    catalogue.status, catalogue.hang = status, hang
    async with catalogue.client() as http:
        client = CatalogClient(http)
        assert await client.has("CUP-1")
        catalogue.status, catalogue.hang = None, False
        assert not await client.has("CUP-1"), "and nothing of it is remembered"


async def test_a_catalogue_that_does_not_answer_is_left_alone_for_a_while(catalogue: Catalogue) -> None:
    catalogue.status = 503
    async with catalogue.client() as http:
        client = CatalogClient(http)
        assert [await client.has(f"CUP-{n}") for n in range(3)] == [True] * 3
    assert catalogue.asked == 1


async def test_a_caller_in_a_hurry_is_no_outage(catalogue: Catalogue, caplog: pytest.LogCaptureFixture) -> None:
    async with catalogue.client() as http:
        client = CatalogClient(http)
        deadline.set(time.monotonic())
        with pytest.raises(Unavailable, match="deadline-passed"):
            await client.has("CUP-1")
        deadline.set(None)
        assert not await client.has("CUP-1")
    assert [record for record in caplog.records if record.name == "cart.clients"] == []


async def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    async with Catalogue() as gone:
        http = gone.client()
    with caplog.at_level(logging.INFO, logger="cart.clients"):
        async with http:
            client = CatalogClient(http)
            assert [await client.has("MUG-1") for _ in range(3)] == [True] * 3
    assert len(caplog.records) == 1


async def test_what_is_remembered_is_bounded(catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "KNOWN_SKUS", 8)
    catalogue.status = 200
    async with catalogue.client() as http:
        client = CatalogClient(http)
        for n in range(50):
            await client.has(f"SKU-{n}")
        assert len(client._known) <= 8
        asked = catalogue.asked
        await client.has("SKU-49")
        assert catalogue.asked == asked
