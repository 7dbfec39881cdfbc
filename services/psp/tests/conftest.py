"""The ledger on a real file, the provider under a real server, and a receiver for its webhooks."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from aiohttp import web

from chassis.testing.apps import served
from psp import usecases
from psp.main import create
from psp.models import Settled, Trouble
from psp.repository import Store
from psp.settings import Settings

SECRET = "a-secret-of-the-tests"
CHARGE = {"order_id": "o1", "amount": 4200, "currency": "EUR", "payment_method": "tok_visa"}


def key(value: str = "o1:charge") -> dict[str, str]:
    return {"Idempotency-Key": value}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    store = Store(tmp_path / "psp.sqlite")
    yield store
    await store.close()


async def charge(
    store: Store,
    key: str = "o1:charge",
    *,
    order_id: str = "o1",
    amount: int = 1000,
    method: str = "tok_visa",
    trouble: Trouble = Trouble.NONE,
) -> Settled:
    return await usecases.charge(
        store,
        key=key,
        order_id=order_id,
        amount=amount,
        currency="EUR",
        payment_method=method,
        trouble=trouble,
    )


@dataclass
class Receiver:
    """Answers webhooks with `status`, and keeps them."""

    status: int = 204
    received: list[tuple[str, bytes]] = field(default_factory=list)
    _came: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.received]

    async def handle(self, request: web.Request) -> web.Response:
        async with self._came:
            self.received.append((request.headers["Psp-Signature"], await request.read()))
            self._came.notify_all()
        return web.Response(status=self.status)

    async def wait_for(self, count: int) -> None:
        async with asyncio.timeout(10), self._came:
            await self._came.wait_for(lambda: len(self.received) >= count)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def webhook_url(receiver: Receiver) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}/hook"
    await runner.cleanup()


Serve = Callable[[], AbstractAsyncContextManager[httpx2.AsyncClient]]


@pytest.fixture
def slow_seconds() -> float:
    """How long the provider waits with a slow answer; a test may give its own."""
    return 1.5


@pytest.fixture
def serve(tmp_path: Path, webhook_url: str, slow_seconds: float) -> Serve:
    """Returns a function that runs the provider over one file, and yields a client of it."""
    settings = Settings(
        psp_database=tmp_path / "psp.sqlite",
        webhook_url=webhook_url,
        psp_webhook_secret=SECRET,
        slow_seconds=slow_seconds,
    )

    @asynccontextmanager
    async def serving() -> AsyncIterator[httpx2.AsyncClient]:
        async with (
            served(create(settings)) as url,
            httpx2.AsyncClient(base_url=url, timeout=30, trust_env=False) as client,
        ):
            yield client

    return serving


@pytest.fixture
async def client(serve: Serve) -> AsyncIterator[httpx2.AsyncClient]:
    async with serve() as client:
        yield client
