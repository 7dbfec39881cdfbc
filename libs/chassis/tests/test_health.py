"""Health tells the orchestrator whether the process lives, has started, works, and drains."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, FastAPI

from chassis.app import create_app
from chassis.health import Draining
from chassis.settings import ServiceSettings
from chassis.testing.apps import client_of

router = APIRouter()


@router.get("/draining")
async def is_draining(draining: Draining) -> bool:
    return draining.is_set()


def lamps(role: str = "all", **more: Any) -> FastAPI:
    return create_app(ServiceSettings(role=role), "lamps", title="Lamps", routers=[router], **more)


@asynccontextmanager
async def serve(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with app.router.lifespan_context(app), client_of(app) as client:
        yield client


async def test_a_process_is_live_at_once_and_ready_when_its_check_succeeds(eventually: Callable[..., Any]):
    schema = asyncio.Event()

    async def started() -> None:
        if not schema.is_set():
            raise LookupError("the schema is behind")

    async with serve(lamps(started=started)) as client:
        await asyncio.sleep(0.05)
        assert (await client.get("/health/live")).status_code == 200
        for path in ("/health/startup", "/health/ready"):
            response = await client.get(path)
            assert (response.status_code, response.text) == (503, "waiting: the schema is behind")

        schema.set()

        async def has_started() -> bool:
            return (await client.get("/health/startup")).status_code == 200

        await eventually(has_started)
        assert (await client.get("/health/ready")).status_code == 200


class Idle:
    """A worker that does nothing and reports it."""

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...

    def trouble(self) -> str | None:
        return "the queue lamps has not been consumed for 61 s"


@pytest.mark.parametrize(("role", "status"), [("worker", 503), ("all", 200), ("api", 200)])
async def test_a_worker_that_does_not_do_its_work_is_not_ready_unless_it_serves_an_api(role: str, status: int):
    async with serve(lamps(role, workers=[Idle()])) as client:
        await asyncio.sleep(0.05)
        answer = await client.get("/health/ready")
        assert answer.status_code == status
        assert ("has not been consumed" in answer.text) == (status == 503)
        assert (await client.get("/health/live")).status_code == 200


async def test_a_draining_process_is_live_but_not_ready():
    app = lamps()
    async with serve(app) as client:
        await asyncio.sleep(0)
        assert (await client.get("/health/ready")).status_code == 200

        app.state.health.draining.set()

        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/draining")).status_code == 200


async def test_a_route_learns_that_the_process_drains():
    app = lamps()
    async with serve(app) as client:
        assert (await client.get("/draining")).json() is False

        app.state.health.draining.set()

        assert (await client.get("/draining")).json() is True


async def test_a_signal_drains_at_once_and_its_handler_is_restored():
    before = signal.getsignal(signal.SIGTERM)
    signalled: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: signalled.append(number))
    server = signal.getsignal(signal.SIGTERM)
    try:
        async with serve(lamps()) as client:
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)

            assert (await client.get("/health/ready")).text == "draining"
            assert signalled == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGTERM) is server
    finally:
        signal.signal(signal.SIGTERM, before)
