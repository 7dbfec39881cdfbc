"""Fixtures: the application with a real Valkey."""

import asyncio
from collections.abc import AsyncIterator
from typing import Self

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI

from cart.main import create
from cart.repository import Carts
from cart.routes import Parts
from cart.settings import Settings
from chassis.http import HttpClient
from chassis.testing.apps import client_of, started
from chassis.testing.tokens import token


class FakeCatalog:
    """Answers as catalog does and knows only MUG-1. `asked` counts requests; `status` and `hang` make it fail."""

    def __init__(self) -> None:
        self.asked = 0
        self.status: int | None = None
        self.hang = False

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/api/catalog/products/{sku}", self._product)
        self._server = TestServer(app)
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def client(self, timeout: float = 10) -> HttpClient:
        return HttpClient(str(self._server.make_url("")), name="catalog", timeout=timeout)

    async def _product(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.hang:
            await asyncio.sleep(5)
        if self.status is not None:
            return web.json_response({}, status=self.status)
        if request.match_info["sku"] == "MUG-1":
            return web.json_response({"sku": "MUG-1"})
        return web.json_response({"type": "https://quayside.example/problems/unknown-sku"}, status=404)


@pytest.fixture
def settings(valkey: str, jwks_url: str) -> Settings:
    return Settings(
        valkey_url=valkey,
        broker_url="amqp://127.0.0.1:9",
        jwks_url=jwks_url,
        catalog_url="http://127.0.0.1:9",
        role="api",
        environment="development",
    )


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    async with started(create(settings)) as app:
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with an account's token."""
    headers = {"Authorization": f"Bearer {token('shopper', kind='account')}"}
    async with client_of(app, headers=headers) as client:
        yield client


@pytest.fixture
def carts(app: FastAPI) -> Carts:
    parts: Parts = app.state.parts
    return parts.carts
