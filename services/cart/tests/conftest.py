"""The cart over a real Valkey, in this process, with tokens of a key that a small server publishes."""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

import httpx2
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from cart.clients import TIMEOUT
from cart.main import create
from cart.repository import Carts
from cart.routes import Parts
from cart.settings import Settings
from chassis.http import HttpClient

KEY = ECKey.generate_key("P-256", auto_kid=True)


class Jwks(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"keys": [KEY.as_dict(private=False)]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="session")
def jwks_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Jwks) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/.well-known/jwks.json"
        server.shutdown()


class Catalogue:
    """Answers as catalog does: MUG-1 is known, nothing else. `asked` counts; `status` and `hang` are its troubles."""

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

    def client(self) -> HttpClient:
        return HttpClient(str(self._server.make_url("")), name="catalog", timeout=TIMEOUT)

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
def token() -> Callable[..., str]:
    """Makes a token; arguments change or add claims."""

    def make(**claims: object) -> str:
        standard = {
            "iss": "quayside",
            "aud": "quayside",
            "sub": str(uuid.uuid4()),
            "exp": int(time.time()) + 60,
            "kind": "guest",
        }
        return jwt.encode({"alg": "ES256", "kid": KEY.kid}, standard | claims, KEY, algorithms=["ES256"])

    return make


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    app = create(settings)
    async with app.router.lifespan_context(app):
        async with asyncio.timeout(10):
            while app.state.health.waiting_for is not None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield app


@pytest.fixture
async def client(app: FastAPI, token: Callable[..., str]) -> AsyncIterator[httpx2.AsyncClient]:
    """A shopper with an account."""
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app),
        base_url="http://cart",
        headers={"Authorization": f"Bearer {token(sub='shopper', kind='account')}"},
    ) as client:
        yield client


@pytest.fixture
def carts(app: FastAPI) -> Carts:
    parts: Parts = app.state.parts
    return parts.carts
