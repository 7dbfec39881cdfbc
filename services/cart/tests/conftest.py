"""The cart over a real Valkey, in this process, with tokens of a key that a small server publishes."""

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest
from fastapi import FastAPI
from joserfc import jwt
from joserfc.jwk import ECKey

from cart.main import create
from cart.repository import Carts
from cart.settings import Settings

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


@pytest.fixture
def settings(valkey: str, jwks_url: str) -> Settings:
    return Settings(
        valkey_url=valkey, broker_url="amqp://127.0.0.1:9", jwks_url=jwks_url, role="api", environment="development"
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
    found: Carts = app.state.carts
    return found
