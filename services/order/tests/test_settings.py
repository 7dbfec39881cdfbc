"""Without settings the process exits, and without its database it is not ready; a line says why."""

import subprocess
import sys

from chassis.testing.apps import client_of, started
from order.main import create
from order.settings import Settings

LINE = "order: PostgreSQL at 127.0.0.1:1 does not answer: connection refused; is DATABASE_URL right?"


def test_without_settings_the_process_exits_with_a_line_for_each() -> None:
    command = [sys.executable, "-m", "uvicorn", "--factory", "order.main:create", "--port", "0"]
    ended = subprocess.run(command, env={}, capture_output=True, text=True, timeout=60)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.splitlines() == [
        f"order: {variable} is not set; set it, or {variable}_FILE"
        for variable in ("DATABASE_URL", "BROKER_URL", "JWKS_URL", "CART_URL", "CATALOG_URL")
    ]


async def test_the_readiness_check_reports_an_unreachable_database() -> None:
    settings = Settings(
        database_url="postgresql://order:9d2f@127.0.0.1:1/order",
        broker_url="amqp://order:9d2f@127.0.0.1:1/quayside",
        jwks_url="http://127.0.0.1:1/.well-known/jwks.json",
        cart_url="http://127.0.0.1:1",
        catalog_url="http://127.0.0.1:1",
    )
    async with started(create(settings)) as app, client_of(app) as client:
        assert (await client.get("/health/live")).status_code == 200
        for path in ("/health/startup", "/health/ready"):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (503, f"waiting: {LINE}")
