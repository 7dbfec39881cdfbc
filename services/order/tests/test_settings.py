"""The order service ends on bad settings, and is not ready without its database; each is told in a line."""

import asyncio
import subprocess
import sys

import httpx2

from order.main import create
from order.settings import Settings

LINE = "order: PostgreSQL at 127.0.0.1:1 does not answer: connection refused; is DATABASE_URL right?"


def test_without_settings_the_process_ends_with_a_line_for_each() -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "order.main:create", "--port", "0"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"order: {variable} is not set; set it, or {variable}_FILE"
        for variable in ("DATABASE_URL", "BROKER_URL", "JWKS_URL", "CART_URL", "CATALOG_URL")
    ]


async def test_an_unreachable_database_is_told_to_who_asks_for_readiness() -> None:
    settings = Settings(
        database_url="postgresql://order:9d2f@127.0.0.1:1/order",
        broker_url="amqp://order:9d2f@127.0.0.1:1/quayside",
        jwks_url="http://127.0.0.1:1/.well-known/jwks.json",
        cart_url="http://127.0.0.1:1",
        catalog_url="http://127.0.0.1:1",
    )
    app = create(settings)
    transport = httpx2.ASGITransport(app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url="http://o") as client:
        async with asyncio.timeout(10):
            while app.state.health.waiting_for == "start-up":  # noqa: ASYNC110
                await asyncio.sleep(0.01)

        assert (await client.get("/health/live")).status_code == 200
        for path in ("/health/startup", "/health/ready"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (503, f"waiting: {LINE}")
